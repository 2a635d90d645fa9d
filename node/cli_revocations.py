"""The commands `tiepdan revoke` and `tiepdan revocations`, and what they say."""

import argparse
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from node.clock import PLACE, Clock
from node.entropy import system_rng
from node.revoking import RevokeReport, Target, find_target, revoke_node
from node.station import opened_station
from schemas.limits import REVOCATION_CHARS_MAX
from sync.revocations import Known


def add_revocation_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add_data: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add `revoke` and `revocations` to the command line."""
    revoke = commands.add_parser(
        "revoke", help="end the trust in the key of a node below; it cannot be taken back"
    )
    add_data(revoke)
    revoke.add_argument("node", help="its code, its key, or its chain file")
    revoke.add_argument("--reason", required=True, type=_reason, help="for people, one sentence")
    revoke.add_argument(
        "--last-valid",
        type=int,
        metavar="SEQ",
        help="last leaf that counts, -1 for none (the last one countersigned here)",
    )
    revoke.set_defaults(run=_revoke)

    listing = commands.add_parser("revocations", help="list revoked keys")
    add_data(listing)
    listing.add_argument(
        "--out", type=Path, help="write the signed statements to a file, for `tiepdan verify`"
    )
    listing.set_defaults(run=_list)


def _reason(text: str) -> str:
    if not 1 <= len(text.strip()) <= REVOCATION_CHARS_MAX:
        raise argparse.ArgumentTypeError(f"one sentence of at most {REVOCATION_CHARS_MAX} letters")
    return text.strip()


def _revoke(options: argparse.Namespace) -> int:
    with opened_station(options.data, system_rng()) as station:
        replica = station.replica
        target = find_target(replica, station.folder, options.node)
        with replica.transaction():
            report = revoke_node(
                replica,
                target,
                last_valid=options.last_valid,
                reason=options.reason,
                now_ms=Clock().now_ms(),
            )
    _tell(target, report)
    return 0


def _tell(target: Target, report: RevokeReport) -> None:
    print(f"Revoked: the key {target.peer_id.hex()[:16]} of {target.name} ({target.code}).")
    for log in report.logs:
        late = f"; {log.size - log.valid} later ones here are set aside" * (log.size > log.valid)
        upto = f"leaves 0 to {log.valid - 1} count" if log.valid else "no leaf counts"
        print(f"  log {log.log_id.hex()[:8]} (epoch {log.epoch}): {upto}{late}")
    if not report.logs:
        print("  no log of it is here; whatever it signed counts nowhere")
    if report.quarantined:
        print(f"  {report.quarantined} changes are out of use, and kept as evidence")
    if report.waiting:
        print(f"  {report.waiting} changes of others wait for such; see the technician's page")
    print("All nodes that this concerns hear of it by line or stick. It cannot be taken back.")
    print("To link that office again: make its node anew with a new key, and enrol it.")


def _list(options: argparse.Namespace) -> int:
    with opened_station(options.data, system_rng(), alone=False) as station:
        revocations = station.replica.intake.revocations
        known = sorted(revocations.known().values(), key=lambda one: (one.revocation.at_ms, one.id))
        counting = {one.id for one in revocations.in_effect()}
    for one in known:
        _show(one, is_counting=one.id in counting)
    if not known:
        print("No key was revoked.")
    if options.out is not None:
        options.out.write_bytes(b"".join(one.data for one in known))
        print(f"Wrote {options.out}.")
    return 0


def _show(one: Known, *, is_counting: bool) -> None:
    said = one.revocation
    at = datetime.fromtimestamp(said.at_ms / 1000, PLACE).strftime("%Y-%m-%d %H:%M")
    note = "" if is_counting else " (does not count: the signer's own key was revoked)"
    print(f"{at}  {said.code}  key {said.key.hex()[:16]}{note}")
    print(f"  by {one.signer_name} ({one.signer_code}): {said.reason}")
    for mark in said.marks:
        print(f"  log {mark.log_id.hex()[:8]}: leaves 0 to {mark.last_valid_seq} count")
    if not said.marks:
        print("  nothing that it signed counts")
