"""The commands `tiepdan enrol` and `tiepdan token`, and what they say."""

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509

from crypto.certificates import Subject, chain_from_pem, request_from_pem, subject_of_request
from node.clock import PLACE, Clock
from node.config import read_config
from node.enrolling import enrol_with_token
from node.entropy import system_entropy
from node.errors import NodeError, RequestError
from node.folder import expiry_ms, install_chain, open_folder, sign_request
from node.qr import qr_lines
from node.tokens import HOURS, make_token, tokens, withdraw
from schemas.codes import Tier


def add_enrolment_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add_data: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add `enrol` and `token` to the command line."""
    enrol = commands.add_parser(
        "enrol", help="enrol with a token, sign a node below, or install what was signed"
    )
    add_data(enrol)
    which = enrol.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--token", metavar="LINE", help="one-time token of the node above; - to type it"
    )
    which.add_argument("--sign", type=Path, metavar="REQUEST", help="sign a child's request.pem")
    which.add_argument("--install", type=Path, metavar="CHAIN", help="install what came back")
    enrol.add_argument("--out", type=Path, help="where to write what was signed")
    enrol.add_argument(
        "--days", type=int, help="how long it is good (90 for communes and outposts, else 365)"
    )
    enrol.add_argument(
        "--again", action="store_true", help="the place may have another key that stays good"
    )
    enrol.set_defaults(run=_enrol)

    token = commands.add_parser(
        "token", help="make a one-time token with which a node below enrols over the network"
    )
    add_data(token)
    token.add_argument("--code", help="of the place, as 40.17083; without it, tokens are listed")
    token.add_argument("--hours", type=int, default=HOURS, help="until it expires, at most 168")
    token.add_argument("--address", default="", help="host:port at which it reaches us")
    token.add_argument(
        "--again", action="store_true", help="the place may have another key that stays good"
    )
    token.add_argument("--qr", action="store_true", help="show it as a QR code as well")
    token.add_argument("--withdraw", action="store_true", help="make the place's token worthless")
    token.set_defaults(run=_token)


def say_next(data: Path, tier: Tier) -> None:
    """Say how a node that was just made is enrolled."""
    asked = subject_of_request(request_from_pem(_read(data / "request.pem")))
    print(f"Made: {asked.name} ({asked.tier.value} {asked.code}), key {_grouped(asked)}.")
    print(f"Its request is {data / 'request.pem'}; it is not secret.")
    above = {Tier.COMMUNE: "province", Tier.OUTPOST: "commune"}.get(tier)
    if above:
        print(f"With a line: have the {above} make a token (`tiepdan token`), then here")
        print(f"  tiepdan enrol --data {data} --token LINE")
        print(
            f"Without: carry the request to the {above}, have it signed (`tiepdan enrol --sign`),"
        )
    else:
        print("Carry it to the holders of the root's key, have it signed (`tiepdan root sign`, or")
        print("`tiepdan enrol --sign` where the centre has the root's key),")
    print(f"  and install the answer: tiepdan enrol --data {data} --install chain.pem")


def _enrol(options: argparse.Namespace) -> int:
    if options.token is not None:
        line = sys.stdin.readline() if options.token == "-" else options.token
        _say_enrolled(options.data, enrol_with_token(options.data, line))
        return 0
    if options.install is not None:
        *chain, root = _certificates(options.install)
        _say_enrolled(options.data, install_chain(options.data, chain, root))
        return 0
    data = _read(options.sign)
    asked = subject_of_request(request_from_pem(data))
    signed = sign_request(options.data, data, Clock().now_ms(), options.days, again=options.again)
    target = options.out or options.sign.with_name("chain.pem")
    _write(target, signed)
    print(f"Signed: {asked.name} ({asked.tier.value} {asked.code}),")
    print(f"  key {_grouped(asked)}, until {_day(expiry_ms(chain_from_pem(signed)[0]))}.")
    print("Compare the key with what that office reads out: `tiepdan init` and `enrol` show it.")
    print(f"Carry {target} back and install it with `tiepdan enrol --install`.")
    return 0


def _say_enrolled(data: Path, subject: Subject) -> None:
    folder = open_folder(data)
    print(f"Enrolled: {subject.name} ({subject.tier.value} {subject.code}),")
    print(f"  key {_grouped(subject)}, until {_day(expiry_ms(folder.chain[0]))}.")
    if folder.config.parent:
        print(f"  tier above: {folder.config.parent}")
    else:
        print("  Set `parent` in node.toml to the address of the tier above, if there is a line.")
    print("Start the node with `tiepdan serve`; one that runs takes it into use by itself.")


def _token(options: argparse.Namespace) -> int:
    if options.code is None:
        return _list(options.data)
    if options.withdraw:
        is_gone = withdraw(options.data, options.code)
        print("Withdrawn." if is_gone else f"There is no token for {options.code}.")
        return 0
    folder = open_folder(options.data)
    token = make_token(
        options.data,
        own=(folder.subject.tier, folder.subject.code, folder.subject.peer_id),
        code=options.code,
        address=options.address or read_config(options.data).sync_address,
        now_ms=Clock().now_ms(),
        entropy=system_entropy,
        hours=options.hours,
        is_again=options.again,
    )
    print(token.text())
    if options.qr:
        print(qr_lines(token.text()), file=sys.stderr)
    print(f"Good for one key of {token.code}, until {_moment(token.expires_ms)}.", file=sys.stderr)
    print("Give it to that office alone, by telephone or text. There:", file=sys.stderr)
    print("  tiepdan enrol --data FOLDER --token LINE", file=sys.stderr)
    return 0


def _list(data: Path) -> int:
    now_ms, found = Clock().now_ms(), list(tokens(data))
    for made in found:
        used = f" by the key {made.used_by[:16]}" * bool(made.used_by)
        state = made.state(now_ms)
        print(f"{made.code}  {state}{used}, until {_moment(made.expires_ms)}")
        if made.refused:
            print(f"  last refusal: {made.refused} at {_moment(made.refused_ms)}")
    if not found:
        print("There are no tokens.")
    return 0


def _grouped(subject: Subject) -> str:
    """Return the first half of a key, fit to be read out."""
    digits = subject.peer_id.hex()[:32]
    return " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, PLACE).strftime("%Y-%m-%d")


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, PLACE).strftime("%Y-%m-%d %H:%M")


def _certificates(path: Path) -> Sequence[x509.Certificate]:
    found = chain_from_pem(_read(path))
    if len(found) < 2:
        raise RequestError(
            "chain_incomplete",
            f"{path} holds one certificate; a chain and the root are needed.",
            "Install the whole file that `tiepdan enrol --sign` or `tiepdan root sign` wrote.",
        )
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NodeError(
            "file_unreadable",
            f"{path} cannot be read: {error.strerror}.",
            "Check the path, and that the stick is in its place.",
        ) from error


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise NodeError(
            "file_unwritable",
            f"{path} cannot be written: {error.strerror}.",
            "Name another place with --out.",
        ) from error
