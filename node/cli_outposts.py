"""The command `tiepdan outpost`: machines of a commune that work away from it."""

import argparse
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

from node.clock import PLACE, Clock
from node.errors import NodeError, RequestError
from node.folder import open_folder
from node.issuing import issued
from node.queries.outposts import outposts
from node.travelling import choose, keep_parcel, parcel_for
from schemas.codes import Tier
from sync.database import open_reader


def add_outpost_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add_data: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add `outpost` to the command line."""
    parser = commands.add_parser(
        "outpost", help="list a commune's outposts, and say whose accounts travel to them"
    )
    add_data(parser)
    parser.add_argument("--code", help="of the outpost, as 40.17083.1")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--accounts", metavar="USERS", help="who may sign in there, as lan,minh; '' for nobody"
    )
    what.add_argument("--out", type=Path, metavar="FILE", help="write these accounts to a stick")
    what.add_argument("--take", type=Path, metavar="FILE", help="at the outpost: take such a file")
    parser.set_defaults(run=_outpost)


def _outpost(options: argparse.Namespace) -> int:
    if options.take is not None:
        keep_parcel(open_folder(options.data), _read(options.take), is_fresh=False)
        print("Taken; the running node lets them in within seconds, another when it starts.")
        return 0
    folder = open_folder(options.data)
    if options.code is None:
        return _list(options.data)
    if options.accounts is not None:
        users = [user for user in options.accounts.split(",") if user]
        choose(options.data, folder.subject, options.code, users)
        print(f"To {options.code} travel: {', '.join(sorted(set(users))) or 'nobody'}.")
        return 0
    if options.out is None:
        raise RequestError("nothing_to_do", "Say --accounts or --out with --code.")
    found = [
        each.subject
        for each in issued(options.data)
        if each.subject.tier is Tier.OUTPOST and each.subject.code == options.code
    ]
    if not found:
        raise RequestError("outpost_unknown", f"No outpost {options.code} was enrolled here.")
    newest = max(found, key=lambda subject: _issued_ms(options.data, subject.peer_id))
    parcel = parcel_for(options.data, folder.key, newest, Clock().now_ms())
    _write(options.out, parcel.model_dump_json().encode())
    print(f"Written for {newest.name}, key {newest.peer_id.hex()[:16]}. There:")
    print(f"  tiepdan outpost --data FOLDER --take {options.out.name}")
    return 0


def _issued_ms(data: Path, peer_id: bytes) -> float:
    return next(
        each.certificate.not_valid_before_utc.timestamp()
        for each in issued(data)
        if each.subject.peer_id == peer_id
    )


def _list(data: Path) -> int:
    with closing(open_reader(data / "tiepdan.db")) as db:
        db.row_factory = sqlite3.Row
        found = outposts(db, data)
    for line in found:
        seen = "never heard of"
        if line.contact_ms is not None:
            seen = f"{datetime.fromtimestamp(line.contact_ms / 1000, PLACE):%Y-%m-%d %H:%M}"
        state = "  REVOKED" * line.is_revoked
        print(f"{line.code}  {line.peer_id[:16]}  {line.name}{state}")
        print(f"  last contact: {seen}; {line.records} records came, it holds {line.cases} cases")
        print(f"  accounts: {', '.join(line.accounts) or 'none'}")
    if not found:
        print("There are no outposts.")
    return 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NodeError("file_unreadable", f"{path} cannot be read: {error.strerror}.") from error


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise NodeError(
            "file_unwritable", f"{path} cannot be written: {error.strerror}."
        ) from error
