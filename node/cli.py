"""The command line: `tiepdan COMMAND`; every refusal is one clear sentence and exit status 1."""

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256

from crypto.errors import CryptoError
from crypto.keyfile import read_certificate
from node.app import Addresses, serve
from node.cli_devices import add_device_commands
from node.cli_enrolment import add_enrolment_commands, say_next
from node.cli_office_key import (
    add_office_key_command,
    add_passphrase_options,
    given_passphrase,
)
from node.cli_outposts import add_outpost_commands
from node.cli_packs import add_pack_commands
from node.cli_people import add_people_commands
from node.cli_revocations import add_revocation_commands
from node.cli_root import add_root_commands
from node.cli_rotation import add_rotation_commands
from node.clock import Clock
from node.config import Config
from node.demo import run_demo
from node.entropy import system_rng
from node.errors import NodeError
from node.folder import init_folder
from node.logs import set_up_logs
from node.office_keys import read_passphrase
from node.restore import restore
from node.station import opened_station, rebuild, retry, view_digest
from schemas.codes import Tier
from schemas.errors import SchemaError
from schemas.ids import parse_document_id
from sync.errors import SyncError
from sync.record_file import VerifiedRecord, export_record, verify_record


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.run
    try:
        return command(options)
    except (NodeError, SyncError, CryptoError, SchemaError) as error:
        print(f"tiepdan: {error} [{error.code}]", file=sys.stderr)
        hint = getattr(error, "hint", "")
        if hint:
            print(f"tiepdan: {hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tiepdan", description="Offline-first citizen reception.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _node_commands(commands)
    _record_commands(commands)
    add_enrolment_commands(commands, _add_data)
    add_outpost_commands(commands, _add_data)
    add_rotation_commands(commands, _add_data)
    add_root_commands(commands)
    add_pack_commands(commands, _add_data)
    add_revocation_commands(commands, _add_data)
    add_office_key_command(commands, _add_data)
    add_people_commands(commands, _add_data)
    add_device_commands(commands)
    demo = commands.add_parser("demo", help="run a centre, a province and three communes here")
    demo.add_argument("--data", type=Path, default=Path("demo-data"), help="folder of the demo")
    demo.add_argument("--base-port", type=int, default=8700, help="first port; 0: any free ones")
    demo.add_argument("--ready-file", type=Path, help="JSON of addresses and accounts")
    demo.set_defaults(run=_demo)
    return parser


def _node_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    init = commands.add_parser("init", help="make a node's data folder with a new key")
    _add_data(init)
    init.add_argument("--tier", required=True, choices=["centre", "province", "commune", "outpost"])
    init.add_argument("--code", required=True, help="0, 40, 40.17083 or 40.17083.1")
    init.add_argument("--name", required=True, help="name of the place")
    init.add_argument("--parent", default="", help="host:port of the tier above")
    init.add_argument("--web-port", type=int, default=Config().web_port)
    init.add_argument("--lan-host", default="", help="address of the pages on the LAN, or 0.0.0.0")
    init.add_argument("--lan-port", type=int, default=Config().lan_port)
    init.add_argument("--sync-host", default="", help="address that children dial")
    init.add_argument("--sync-port", type=int, default=Config().sync_port)
    init.add_argument("--office-key", default="", help="file for the key that opens sealed values")
    init.add_argument("--passphrase-file", type=Path, help="passphrase of that key, in a file")
    init.add_argument(
        "--no-root", action="store_true", help="centre: the root is elsewhere, see `tiepdan root`"
    )
    init.set_defaults(run=_init)

    run = commands.add_parser("serve", help="run the node until Ctrl-C")
    _add_data(run)
    run.add_argument("--ready-file", type=Path, help="written with the addresses once it is up")
    run.add_argument("--stop-with-stdin", action="store_true", help="stop when standard input ends")
    add_passphrase_options(run)
    run.set_defaults(run=_serve)


def _record_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    again = commands.add_parser("rebuild", help="make all views again from the log")
    _add_data(again)
    again.set_defaults(run=_rebuild)

    judge = commands.add_parser("retry", help="judge records without effect again")
    _add_data(judge)
    judge.set_defaults(run=_retry)

    back = commands.add_parser("restore", help="put a backup in place and open a new epoch")
    _add_data(back)
    back.add_argument("backup", type=Path, help="copied data folder, or its tiepdan.db")
    back.set_defaults(run=_restore)

    export = commands.add_parser("export", help="write a record with its proof to a file")
    _add_data(export)
    export.add_argument("record", help="id of the record")
    export.add_argument("file", type=Path)
    export.set_defaults(run=_export)

    verify = commands.add_parser("verify", help="check an exported record; needs no node")
    verify.add_argument("file", type=Path)
    verify.add_argument("--root", type=Path, help="root certificate you trust (root.pem)")
    verify.add_argument(
        "--revocations", type=Path, help="signed statements, as `tiepdan revocations --out` writes"
    )
    verify.set_defaults(run=_verify)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="the node's data folder")


def _init(options: argparse.Namespace) -> int:
    config = Config(
        parent=options.parent,
        web_port=options.web_port,
        lan_host=options.lan_host,
        lan_port=options.lan_port,
        sync_host=options.sync_host,
        sync_port=options.sync_port,
        office_key=str(Path(options.office_key).absolute()) if options.office_key else "",
    )
    passphrase = read_passphrase(options.passphrase_file) if options.passphrase_file else ""
    request = init_folder(
        options.data,
        tier=Tier(options.tier),
        code=options.code,
        name=options.name,
        config=config,
        now_ms=Clock().now_ms(),
        passphrase=passphrase,
        makes_root=not options.no_root,
    )
    if not passphrase and not config.office_key:
        print("The key that opens sealed numbers lies in this folder in plain; see `office-key`.")
    if request is None:
        print(f"The centre is ready. Keep {options.data / 'root.key'} offline.")
    else:
        say_next(options.data, Tier(options.tier))
    return 0


def _serve(options: argparse.Namespace) -> int:
    set_up_logs()
    passphrase = given_passphrase(options)
    if options.stop_with_stdin:
        threading.Thread(target=_stop_with_stdin, name="stdin", daemon=True).start()

    def ready(addresses: Addresses) -> None:
        print(f"http://{addresses.web_host}:{addresses.web_port}", flush=True)
        if addresses.lan_url:
            print(addresses.lan_url, flush=True)
        if options.ready_file is not None:
            line = f"{addresses.web_host} {addresses.web_port} {addresses.sync_port}\n"
            options.ready_file.write_text(line)

    asyncio.run(serve(options.data, ready, passphrase))
    return 0


def _stop_with_stdin() -> None:
    """Stop the node like SIGTERM once whoever holds the other end of standard input is gone."""
    while os.read(sys.stdin.fileno(), 1_024):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


def _rebuild(options: argparse.Namespace) -> int:
    with opened_station(options.data, system_rng()) as station:
        before = view_digest(station.connection)
        rebuild(station, Clock().now_ms(), _show_progress)
        after = view_digest(station.connection)
    print(f"views before  {before}\nviews after   {after}")
    if before != after:
        print("The views differed from the log; they are right now.")
    return 0


def _retry(options: argparse.Namespace) -> int:
    with opened_station(options.data, system_rng()) as station:
        before, after = retry(station, Clock().now_ms())
    print(f"{before} records were without effect; {after} still are.")
    return 0


def _restore(options: argparse.Namespace) -> int:
    done = restore(options.data, options.backup, Clock().now_ms())
    print(f"The backup is in place; this node goes on in epoch {done.epoch}.")
    if done.kept is not None:
        print(f"The former database is kept as {done.kept}.")
    print(
        "Start the node with `tiepdan serve`. At the next contact the tier above gives back what"
        " it holds; what had not reached it and is not in the backup must be entered again."
    )
    return 0


def _export(options: argparse.Namespace) -> int:
    with opened_station(options.data, system_rng(), alone=False) as station:
        document = parse_document_id(options.record)
        data = export_record(station.replica.store, document, station.folder.root)
    options.file.write_bytes(data)
    print(f"Wrote {options.file} ({len(data)} bytes).")
    return 0


def _verify(options: argparse.Namespace) -> int:
    root = read_certificate(options.root) if options.root else None
    statements = _read(options.revocations) if options.revocations else b""
    _show(verify_record(_read(options.file), root, statements), is_trusted=root is not None)
    return 0


def _show(record: VerifiedRecord, *, is_trusted: bool) -> None:
    print(f"VERIFIED  {record.kind}, {record.leaves} changes")
    for name, value in sorted(record.fields.items()):
        if name != "identity_number":
            print(f"  {name}: {value}")
    for attestation in record.attestations:
        owner = attestation.owner
        print(
            f"signed by {owner.name} ({owner.tier.value} {owner.code}),"
            f" {attestation.head.size} leaves"
            + "; its key was revoked later"
            * (owner.peer_id in record.revoked)
        )
        for subject, _ in attestation.cosigners:
            note = "; revoked, does not count" * (subject.peer_id in record.revoked)
            print(f"  countersigned by {subject.name} ({subject.tier.value} {subject.code}){note}")
    fingerprint = record.root.fingerprint(SHA256()).hex()
    print(f"root {fingerprint}" + ("" if is_trusted else " (not given by you: compare it)"))


def _demo(options: argparse.Namespace) -> int:
    def say(line: str) -> None:
        print(line, flush=True)

    return asyncio.run(run_demo(options.data, options.base_port, options.ready_file, say))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NodeError("file_unreadable", f"{path} cannot be read: {error.strerror}.") from error


def _show_progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {total} leaves", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
