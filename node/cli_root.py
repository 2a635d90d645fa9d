"""The commands `tiepdan root`: a root whose key no single person holds, on an offline machine.

The key is in memory only while a command that needs it runs, and on no disk.
"""

import argparse
import sys
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256

from crypto.certificates import chain_to_pem, make_root, request_from_pem, subject_of_request
from crypto.errors import ShareError
from crypto.identity import NodeKey
from crypto.keyfile import SECRET_MODE, read_certificate, write_chain, write_file
from crypto.shares import (
    NEEDED,
    SHARES,
    Share,
    decode_share,
    join_key,
    open_share,
    split_key,
)
from node.cli_passphrase import new_passphrase, typed
from node.clock import Clock
from node.entropy import system_entropy
from node.errors import ConfigError, NodeError
from node.folder import ROOT_LIFETIME_DAYS
from node.issuing import issue_with

_CERTIFICATE = "root.pem"


def add_root_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `root` to the command line."""
    root = commands.add_parser("root", help="the root of trust, on a machine without a line")
    below = root.add_subparsers(required=True, metavar="WHAT")

    init = below.add_parser("init", help="make a root; its key is split among three people")
    _add_folder(init)
    init.add_argument("--name", default="tiepdan", help="name of the root")
    _add_holders(init)
    init.set_defaults(run=_init)

    sign = below.add_parser("sign", help="sign a centre or a province with two of the shares")
    _add_folder(sign)
    sign.add_argument("request", type=Path, help="request.pem of the node")
    _add_shares(sign)
    sign.add_argument("--out", type=Path, required=True, help="where to write the chain")
    sign.add_argument("--days", type=int, help="how long it is good, in place of 365")
    sign.add_argument(
        "--again", action="store_true", help="the place may have another key that stays good"
    )
    sign.set_defaults(run=_sign)

    reshare = below.add_parser("reshare", help="make three new shares of the same key from two")
    _add_folder(reshare)
    _add_shares(reshare)
    reshare.add_argument("--out", type=Path, required=True, help="folder for the new shares")
    _add_holders(reshare)
    reshare.set_defaults(run=_reshare)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of the root: certificate, list of issued"
    )


def _add_holders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--holder",
        action="append",
        required=True,
        metavar="NAME",
        help="who holds a share; three times",
    )


def _add_shares(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--share", action="append", type=Path, required=True, help="twice: a share file"
    )


def _init(options: argparse.Namespace) -> int:
    folder: Path = options.data
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / _CERTIFICATE).exists():
        raise ConfigError(
            "already_initialised",
            f"There is a root in {folder} already.",
            "Use another folder; a root is made once for a whole country.",
        )
    key = NodeKey.generate()
    root = make_root(key, options.name, Clock().now_ms(), ROOT_LIFETIME_DAYS)
    _write_shares(folder, _split(key, options.holder))
    # The certificate last: with it the root counts as made.
    write_chain(folder / _CERTIFICATE, [root])
    print(f"The root is made: {folder / _CERTIFICATE}, fingerprint")
    print(f"  {root.fingerprint(SHA256()).hex()}")
    print("Give each holder one share file on two media, and delete all of them here. Any two")
    print("holders together sign; two lost shares are the loss of the root.")
    return 0


def _sign(options: argparse.Namespace) -> int:
    root = read_certificate(options.data / _CERTIFICATE)
    request = request_from_pem(_read(options.request))
    asked = subject_of_request(request)
    print(f"To be signed: {asked.name} ({asked.tier.value} {asked.code}),", file=sys.stderr)
    print(f"  key {asked.peer_id.hex()}. Compare it by voice.", file=sys.stderr)
    chain = issue_with(
        options.data,
        ([root], _joined(options.share)),
        request,
        now_ms=Clock().now_ms(),
        # Revocations are on no machine without a line: a place with a new key is signed expressly.
        is_revoked=lambda peer_id, code: False,
        again=options.again,
        days=options.days,
    )
    write_file(options.out, chain_to_pem(chain), 0o644)
    print(f"Signed. Carry {options.out} back and install it with `tiepdan enrol --install`.")
    return 0


def _reshare(options: argparse.Namespace) -> int:
    key = _joined(options.share)
    options.out.mkdir(parents=True, exist_ok=True)
    _write_shares(options.out, _split(key, options.holder))
    print(
        f"Three new shares are in {options.out}. The old ones make the same key as long as two of"
    )
    print("them exist: destroy them. If somebody may have copied two, only a new root helps.")
    return 0


def _split(key: NodeKey, holders: list[str]) -> list[Share]:
    if len(holders) != SHARES:
        raise ShareError("holders_unfit", f"{SHARES} people hold a share each", "Name three.")
    return split_key(key, [(name, new_passphrase(name)) for name in holders], system_entropy)


def _joined(paths: list[Path]) -> NodeKey:
    if len(paths) != NEEDED:
        raise ShareError("shares_too_few", f"{NEEDED} shares are needed", "Give --share twice.")
    shares = [decode_share(_read(path)) for path in paths]
    return join_key(
        [(share, open_share(share, typed(f"Passphrase of {share.holder}: "))) for share in shares]
    )


def _write_shares(folder: Path, shares: list[Share]) -> None:
    for share in shares:
        path = folder / f"root-{share.number}.share"
        if path.exists():
            raise ConfigError(
                "file_exists", f"{path} exists already.", "Move it away, or use another folder."
            )
        write_file(path, share.encode(), SECRET_MODE)
        print(f"{path}: {share.holder}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NodeError(
            "file_unreadable", f"{path} cannot be read: {error.strerror}.", "Check the path."
        ) from error
