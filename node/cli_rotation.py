"""The commands `tiepdan spare` and `tiepdan rotate`, and what they say."""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

from crypto.certificates import chain_from_pem
from node.cli_passphrase import new_passphrase, typed
from node.clock import Clock
from node.entropy import system_entropy
from node.errors import NodeError, RequestError
from node.folder import open_folder
from node.renewing import certified
from node.rotating import REQUEST, install_spare, make_spare, rotate

_KEPT_APART = "It is certified. Keep its file and the passphrase apart from this machine."


def add_rotation_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add_data: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add `spare` and `rotate` to the command line."""
    spare = commands.add_parser(
        "spare", help="make a commune's spare key on a stick, or install its certificate"
    )
    add_data(spare)
    which = spare.add_mutually_exclusive_group(required=True)
    which.add_argument("--out", type=Path, metavar="FOLDER", help="stick that is kept apart")
    which.add_argument("--install", type=Path, metavar="CHAIN", help="what the province signed")
    spare.set_defaults(run=_spare)

    change = commands.add_parser(
        "rotate", help="take the spare key into use; what the old key signs counts no longer"
    )
    add_data(change)
    change.add_argument("--spare", type=Path, metavar="FILE", help="on the stick")
    change.set_defaults(run=_rotate)


def _spare(options: argparse.Namespace) -> int:
    folder = open_folder(options.data)
    if options.install is not None:
        *chain, _ = chain_from_pem(_read(options.install))
        install_spare(folder, chain)
        print(
            "The spare key is certified; keep its file and the passphrase apart from this machine."
        )
        return 0
    file = options.out / f"{folder.subject.code}.spare"
    request = make_spare(
        folder, file, new_passphrase(f"the spare key of {folder.subject.code}"), system_entropy
    )
    print(f"{file}: the spare key, under your passphrase.")
    try:
        if not folder.config.parent:
            raise RequestError("link_unreachable", "No tier above is set.")
        install_spare(folder, certified(folder, request))
    except RequestError as error:
        shutil.copyfile(folder.path / REQUEST, options.out / REQUEST)
        print(f"It is not certified yet: {error} [{error.code}] {error.hint}".rstrip())
        print(f"Carry {options.out / REQUEST} to the province, have it signed there with")
        print("  tiepdan enrol --sign, and install the answer with tiepdan spare --install.")
        return 0
    print(_KEPT_APART)
    return 0


def _rotate(options: argparse.Namespace) -> int:
    done = rotate(
        options.data,
        options.spare,
        lambda: typed("Passphrase of the spare key: "),
        lambda: typed("Passphrase of the office key: "),
        Clock().now_ms(),
    )
    subject = done.subject
    print(f"{subject.name} ({subject.code}) has the key {subject.peer_id.hex()[:16]}.")
    print(f"What the key {done.former.hex()[:16]} signs from now on counts nowhere, as soon as")
    print("word of this gets there, by line or stick. Start the node; make the next spare key.")
    return 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NodeError(
            "file_unreadable", f"{path} cannot be read: {error.strerror}.", "Check the path."
        ) from error
