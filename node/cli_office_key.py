"""The command `tiepdan office-key`, and where a passphrase comes from at the start."""

import argparse
import getpass
import os
from collections.abc import Callable
from pathlib import Path

from crypto.identity import OfficeKey
from crypto.keyfile import read_secret
from crypto.office import is_plain, open_office_key
from node.errors import NodeError
from node.folder import NodeFolder, open_folder
from node.office_keys import credential, keep, read_passphrase, state_of
from node.station import held_alone


def add_office_key_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add_data: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add `office-key` to the command line."""
    parser = commands.add_parser(
        "office-key", help="show how the key that opens sealed values is kept, or keep it better"
    )
    add_data(parser)
    parser.add_argument("--passphrase-file", type=Path, help="the present one, in a file")
    parser.add_argument("--set-passphrase", action="store_true", help="ask for a new passphrase")
    parser.add_argument("--new-passphrase-file", type=Path, help="the new passphrase")
    parser.add_argument("--plain", action="store_true", help="keep it without a passphrase")
    parser.add_argument("--move", type=Path, metavar="FILE", help="keep it there from now on")
    parser.set_defaults(run=_office_key)


def add_passphrase_options(parser: argparse.ArgumentParser) -> None:
    """Add the ways to give the passphrase of the office key."""
    parser.add_argument("--passphrase-file", type=Path, help="passphrase of the office key")
    parser.add_argument("--ask-passphrase", action="store_true", help="ask for it here")


def given_passphrase(options: argparse.Namespace) -> str:
    """Return the passphrase that the options name, or systemd; empty when nobody gave one.

    Raises:
        NodeError: the file cannot be read.
    """
    if options.passphrase_file is not None:
        return read_passphrase(options.passphrase_file)
    if options.ask_passphrase:
        return getpass.getpass("Passphrase of the office key: ")
    return credential(os.environ)


def _office_key(options: argparse.Namespace) -> int:
    folder = open_folder(options.data)
    changes = options.set_passphrase or options.new_passphrase_file or options.plain
    if changes or options.move:
        with held_alone(folder):
            _keep(folder, options, changes=bool(changes))
        folder = open_folder(options.data)
    state = state_of(folder)
    print(f"{folder.office_key}: {'in plain' if state.is_plain else 'under a passphrase'}")
    if state.is_plain and state.is_beside:
        print("Whoever takes this folder reads every sealed number.")
        print("Give it a passphrase (--set-passphrase), or keep it elsewhere (--move FILE).")
    return 0


def _keep(folder: NodeFolder, options: argparse.Namespace, *, changes: bool) -> None:
    present = _present(folder, options.passphrase_file)
    key = open_office_key(read_secret(folder.office_key), present)
    passphrase = _new(options) if changes else present
    place = keep(folder, key, passphrase=passphrase, place=options.move)
    _check(place, key, passphrase)


def _present(folder: NodeFolder, file: Path | None) -> str:
    if is_plain(read_secret(folder.office_key)):
        return ""
    return read_passphrase(file) if file else getpass.getpass("Present passphrase: ")


def _new(options: argparse.Namespace) -> str:
    if options.plain:
        return ""
    if options.new_passphrase_file is not None:
        return read_passphrase(options.new_passphrase_file)
    first = getpass.getpass("New passphrase: ")
    if getpass.getpass("Once more: ") != first:
        raise NodeError("passphrase_differs", "The two passphrases differ.", "Try again.")
    return first


def _check(place: Path, key: OfficeKey, passphrase: str) -> None:
    """Open what was written, before anybody relies on it."""
    if open_office_key(read_secret(place), passphrase).public != key.public:
        raise NodeError("office_key_damaged", f"{place} was not written as it should be.")
