"""The commands `tiepdan accounts`, `account` and `audit`, for the technician at the machine."""

import argparse
import getpass
import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from crypto.password import SALT_BYTES, hash_password
from node.accounts import Accounts
from node.clock import PLACE, Clock
from node.entropy import system_entropy, system_rng
from node.errors import NodeError
from node.staff import (
    ONE_TIME_BYTES,
    Manager,
    add_account,
    change_account,
    list_accounts,
    one_time_password,
    reset_password,
)
from node.station import Station, opened_station
from node.trail import TrailLine, append, exported, lines, parse_exported
from node.trail_marks import MarkedCheck, check_marked, marks_in_log
from schemas.codes import Role


def add_people_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add_data: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add the commands to the command line."""
    listing = commands.add_parser("accounts", help="list the accounts")
    add_data(listing)
    listing.set_defaults(run=_list)

    account = commands.add_parser("account", help="make, change, close or open an account")
    add_data(account)
    account.add_argument("--user", required=True)
    account.add_argument("--name", help="of the person, as shown in records")
    account.add_argument("--role", choices=[role.value for role in Role])
    password = account.add_mutually_exclusive_group()
    password.add_argument("--password-file", type=Path, help="- for standard input")
    password.add_argument(
        "--one-time", action="store_true", help="print a password that must be changed at once"
    )
    state = account.add_mutually_exclusive_group()
    state.add_argument("--close", action="store_true", help="nobody signs in with it any more")
    state.add_argument("--open", action="store_true", help="allow a closed account again")
    account.set_defaults(run=_account)

    audit = commands.add_parser("audit", help="check the audit trail, or an export of it")
    audit.add_argument("--data", type=Path, help="the node's data folder and the marks in its log")
    audit.add_argument("--check", type=Path, metavar="FILE", help="an exported trail")
    audit.add_argument("--out", type=Path, metavar="FILE", help="export the trail")
    audit.set_defaults(run=_audit)


def _list(options: argparse.Namespace) -> int:
    with opened_station(options.data, system_rng(), alone=False) as station:
        for line in list_accounts(station.connection):
            state = "" if line.is_active else "  closed"
            state += "  password not changed yet" * line.is_new
            print(f"{line.user:20} {line.role.value:28} {line.name}{state}")
    return 0


def _account(options: argparse.Namespace) -> int:
    password = _password(options)
    with opened_station(options.data, system_rng()) as station, station.replica.transaction():
        _change(station, options, password)
        what = [options.user, options.role or "", "password" * bool(password)]
        what += ["closed" * options.close, "open" * options.open]
        detail = " ".join(filter(None, what))
        append(station.connection, "", "", Clock().now_ms(), "account.put", detail=detail)
    if options.one_time:
        print(f"One-time password: {password}")
    print(f"Account {options.user} is {'closed' if options.close else 'ready'}.")
    return 0


def _password(options: argparse.Namespace) -> str:
    if options.one_time:
        return one_time_password(system_entropy(ONE_TIME_BYTES))
    if options.password_file is None:
        return ""
    if str(options.password_file) != "-":
        password = _read(options.password_file)
    elif sys.stdin.isatty():
        password = getpass.getpass(f"Password of {options.user}: ")
    else:
        password = sys.stdin.readline()
    if not password.strip():
        raise NodeError("password_empty", "The password is empty.", "Nothing was changed.")
    return password.rstrip("\n")


def _change(station: Station, options: argparse.Namespace, password: str) -> None:
    db, user = station.connection, options.user
    manager = Manager(user="", role="", tier=station.replica.subject.tier)
    role = Role(options.role) if options.role else None
    known = {line.user: line for line in list_accounts(db)}.get(user)
    if known is None and not (role and options.name and password):
        raise NodeError(
            "account_unknown",
            f"There is no account {user} yet.",
            "A new one needs --name, --role, and --password-file or --one-time.",
        )
    salt, now_ms = system_entropy(SALT_BYTES), Clock().now_ms()
    if known is None:
        assert role is not None
        phc = hash_password(password, salt)
        add_account(db, manager, user=user, name=options.name, role=role, phc=phc, now_ms=now_ms)
    else:
        is_active = False if options.close else True if options.open else None
        change_account(db, manager, user, name=options.name, role=role, is_active=is_active)
        if options.one_time:
            reset_password(db, manager, user, hash_password(password, salt), now_ms)
    if password and not options.one_time:
        Accounts(db).set_password(user, hash_password(password, salt))


def _audit(options: argparse.Namespace) -> int:
    if options.data is None and options.check is None:
        raise NodeError("nothing_to_check", "Name a data folder (--data) or an export (--check).")
    marks = []
    if options.data is not None:
        with opened_station(options.data, system_rng(), alone=False) as station:
            found = list(lines(station.connection))
            marks = marks_in_log(station.replica)
            code = station.replica.subject.code
        if options.out is not None:
            head = json.dumps({"trail": "tiepdan audit v1", "office": code})
            text = "\n".join([head, *map(exported, found), ""])
            options.out.write_text(text, encoding="utf-8")
    if options.check is not None:
        found = _exported(options.check)
    return _say(found, check_marked(found, marks))


def _exported(path: Path) -> list[TrailLine]:
    _, *rest = _read(path).splitlines()
    try:
        return [parse_exported(line) for line in rest]
    except ValueError as error:
        raise NodeError("trail_malformed", f"{path} is not an exported audit trail.") from error


def _say(found: list[TrailLine], check: MarkedCheck) -> int:
    trail = check.trail
    if trail.broken_at is not None:
        print(f"BROKEN  line {trail.broken_at} does not follow from the lines before it")
        return 1
    print(f"INTACT  {trail.lines} lines, link {trail.link.hex()}")
    if found:
        print(f"last line {datetime.fromtimestamp(found[-1].at_ms / 1000, PLACE):%H:%M %d/%m/%Y}")
    for mark in check.contradicted:
        print(f"MARK    the log says that line {mark.lines} had link {mark.link.hex()}")
    if check.contradicted:
        print("The trail is not the one that was marked: lines were lost with a restore, or taken.")
        return 1
    print(f"marks in the signed log that agree: {check.marks}")
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NodeError("file_unreadable", f"{path} cannot be read: {error}.") from error
