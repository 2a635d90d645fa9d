"""One-time tokens that were made here: files in `tokens/`, one for each place below.

A file holds the key of the proofs, never the secret itself; it is read anew each time, so that a
token made on the command line is good at the running node.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal

from crypto.enrolment import HOUR_MS, SECRET_BYTES, Token, name_of, pin_of, proof_key
from crypto.identity import PeerId
from crypto.keyfile import SECRET_MODE, write_file
from crypto.tiers import check_child, tier_of
from node.errors import RequestError
from node.issuing import held
from schemas.codes import Tier

FOLDER: Final = "tokens"
HOURS: Final = 24
HOURS_MAX: Final = 168
# Who holds the secret never fails; somebody in between does.
FAILURES_MAX: Final = 5
_TOLD_MS: Final = 24 * HOUR_MS
_TICK_MS: Final = 2_000

TokenState = Literal["open", "used", "blocked", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeToken:
    """What is kept of a token.

    Attributes:
        code: of the place that it is for.
        name: by which it is asked for, hexadecimal.
        key: of its proofs, hexadecimal.
        is_again: the place may have another key already.
        failures: how often somebody came without the secret.
        used_by: peer id that was enrolled with it, hexadecimal; empty before.
        refused: code of the last refusal, and when.
    """

    code: str
    name: str
    key: str
    made_ms: int
    expires_ms: int
    is_again: bool
    failures: int = 0
    used_by: str = ""
    used_ms: int = 0
    refused: str = ""
    refused_ms: int = 0

    def state(self, now_ms: int) -> TokenState:
        """Return what has become of it."""
        if self.used_by:
            return "used"
        if self.failures >= FAILURES_MAX:
            return "blocked"
        return "expired" if now_ms >= self.expires_ms else "open"


def make_token(
    path: Path,
    *,
    own: tuple[Tier, str, PeerId],
    code: str,
    address: str,
    now_ms: int,
    entropy: Callable[[int], bytes],
    hours: int = HOURS,
    is_again: bool = False,
) -> Token:
    """Make a token for a commune, or an outpost of one; an earlier one for it holds no longer.

    Args:
        path: data folder of the node above.
        own: tier, code and key of that node.
        code: of the place.
        address: `host:port` at which the place reaches that node.
        now_ms: wall clock.
        entropy: makes the secret.
        hours: until it expires, at most a week.
        is_again: also if the place has a key that is good.

    Raises:
        RequestError: token_address_missing or token_hours_unfit.
        CryptoError: the place is not directly below this node, or nothing can be written.
    """
    tier, own_code, peer_id = own
    check_child(issuer_tier=tier, issuer_code=own_code, tier=tier_of(code), code=code)
    if not address:
        raise RequestError(
            "token_address_missing",
            "It is not known under which address nodes below reach this one.",
            'Set sync_address in node.toml, such as "10.0.0.1:8443".',
        )
    if not 1 <= hours <= HOURS_MAX:
        raise RequestError(
            "token_hours_unfit",
            f"A token is good for 1 to {HOURS_MAX} hours.",
            "Make a new one when it is needed.",
        )
    token = Token(
        code=code,
        address=address,
        pin=pin_of(peer_id),
        secret=entropy(SECRET_BYTES),
        expires_h=-(-now_ms // HOUR_MS) + hours,
    )
    made = MadeToken(
        code=code,
        name=name_of(token.secret).hex(),
        key=proof_key(token.secret).hex(),
        made_ms=now_ms,
        expires_ms=token.expires_ms,
        is_again=is_again,
    )
    with held(path):
        (path / FOLDER).mkdir(mode=0o700, exist_ok=True)
        _write(path, made)
    return token


def tokens(path: Path) -> Iterator[MadeToken]:
    """Yield the tokens that are kept; what cannot be read is none."""
    for file in sorted((path / FOLDER).glob("*.json")):
        try:
            yield MadeToken(**json.loads(file.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            continue


class Door:
    """Tells whether somebody without a certificate may come now.

    That is while a token is open, and for a day after its end, to be told that it ended. It is
    asked at each connection, so the files are read only when something in the folder changed.
    """

    def __init__(self, path: Path) -> None:
        """Look at the tokens of a data folder."""
        self._path = path
        self._seen_ns = -1
        self._until_ms = 0

    def is_open(self, now_ms: int) -> bool:
        """Tell it for a wall time."""
        try:
            changed_ns = (self._path / FOLDER).stat().st_mtime_ns
        except OSError:
            # No token was ever made here.
            return False
        # What followed within a tick of the disk's clock would go unseen.
        if changed_ns != self._seen_ns or abs(now_ms - changed_ns // 1_000_000) < _TICK_MS:
            self._until_ms = max((made.expires_ms for made in tokens(self._path)), default=0)
            self._seen_ns = changed_ns
        return now_ms < self._until_ms + _TOLD_MS


def find_token(path: Path, name: bytes) -> MadeToken:
    """Return a token by its name.

    Raises:
        RequestError: token_unknown.
    """
    for made in tokens(path):
        if made.name == name.hex():
            return made
    raise RequestError(
        "token_unknown",
        "This token is not known here: it was withdrawn, or replaced by a later one.",
        "Have a new one made where it came from.",
    )


def keep(path: Path, made: MadeToken, **changes: str | int) -> MadeToken:
    """Write what became of a token, unless another has taken its place."""
    with held(path):
        changed = replace(made, **changes)  # type: ignore[arg-type]
        if any(other.name == made.name for other in tokens(path)):
            _write(path, changed)
    return changed


def withdraw(path: Path, code: str) -> bool:
    """Forget the token of a place; tell whether there was one."""
    with held(path):
        file = path / FOLDER / f"{code}.json"
        is_there = any(made.code == code for made in tokens(path))
        if is_there:
            file.unlink(missing_ok=True)
    return is_there


def _write(path: Path, made: MadeToken) -> None:
    data = json.dumps(asdict(made), indent=1, sort_keys=True).encode() + b"\n"
    write_file(path / FOLDER / f"{made.code}.json", data, SECRET_MODE)
