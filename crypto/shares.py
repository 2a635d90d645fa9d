"""The root's key in three shares, of which any two make it (Shamir, "How to share a secret", 1979).

Each share is a JSON file, sealed under its holder's passphrase. One share, or one file with its
passphrase, says nothing of the key. The seed has 32 bytes and the library shares 16 at a time, so
each half is shared by itself under the same numbers.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from Crypto.Protocol.SecretSharing import Shamir

from crypto.errors import ShareError
from crypto.identity import PEER_ID_BYTES, SEED_BYTES, NodeKey, PeerId
from crypto.passphrase import SALT_BYTES, open_under, seal_under

NEEDED: Final = 2
SHARES: Final = 3
FILE_BYTES_MAX: Final = 4_096
_FORMAT: Final = "tiepdan root share 1"
_HALF: Final = SEED_BYTES // 2
_HOLDER_CHARS_MAX: Final = 80
_TAG_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One share, sealed.

    Attributes:
        number: 1 to 3.
        holder: who has the passphrase, for people.
        root: public key of the root, so that a share is never put to one of another.
        salt: of the passphrase, 16 bytes.
        sealed: the share under the passphrase.
    """

    number: int
    holder: str
    root: PeerId
    salt: bytes
    sealed: bytes

    def encode(self) -> bytes:
        """Return the file."""
        fields: dict[str, Any] = {
            "format": _FORMAT,
            "holder": self.holder,
            "number": self.number,
            "root": self.root.hex(),
            "salt": self.salt.hex(),
            "sealed": self.sealed.hex(),
        }
        return json.dumps(fields, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def decode_share(data: bytes) -> Share:
    """Return the share in a file.

    Raises:
        ShareError: share_malformed.
    """
    try:
        fields: dict[str, Any] = json.loads(data[:FILE_BYTES_MAX].decode())
        if type(fields["number"]) is not int or not isinstance(fields["holder"], str):
            raise TypeError("number and holder")
        share = Share(
            number=fields["number"],
            holder=fields["holder"],
            root=PeerId(bytes.fromhex(fields["root"])),
            salt=bytes.fromhex(fields["salt"]),
            sealed=bytes.fromhex(fields["sealed"]),
        )
        is_good = share.encode() == data and _has_form(share)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        is_good = False
    if not is_good:
        raise ShareError(
            "share_malformed",
            "this is not a share of a root's key, or the file is damaged",
            "Use the copy of it; with two of the three shares the key is still there.",
        )
    return share


def split_key(
    key: NodeKey, holders: Sequence[tuple[str, str]], entropy: Callable[[int], bytes]
) -> list[Share]:
    """Return the three shares of a key.

    Args:
        key: of the root.
        holders: name and passphrase of each of the three.
        entropy: makes the salts.

    Raises:
        ShareError: there are not three holders, or a name is not usable.
        PasswordError: a passphrase is too short or too long.
    """
    if len(holders) != SHARES or len({name for name, _ in holders}) != SHARES:
        raise ShareError(
            "holders_unfit", "three different people hold a share each", "Name three people."
        )
    halves = [Shamir.split(NEEDED, SHARES, half) for half in (key.seed[:_HALF], key.seed[_HALF:])]
    made = []
    for (number, first), (_, second), (holder, passphrase) in zip(*halves, holders, strict=True):
        if not (1 <= len(holder) <= _HOLDER_CHARS_MAX and holder.isprintable()):
            raise ShareError("holders_unfit", "a name cannot be used", "Name three people.")
        salt = entropy(SALT_BYTES)
        about = _about(number, holder, key.peer_id)
        sealed = seal_under(passphrase, first + second, salt=salt, about=about)
        made.append(Share(number=number, holder=holder, root=key.peer_id, salt=salt, sealed=sealed))
    return made


def open_share(share: Share, passphrase: str) -> bytes:
    """Return what a share holds.

    Raises:
        PasswordError: passphrase_wrong.
    """
    about = _about(share.number, share.holder, share.root)
    return open_under(passphrase, share.sealed, salt=share.salt, about=about)


def join_key(shares: Sequence[tuple[Share, bytes]]) -> NodeKey:
    """Return the key that two opened shares make.

    Raises:
        ShareError: they are not two different ones of one key.
    """
    numbers, roots = {share.number for share, _ in shares}, {share.root for share, _ in shares}
    if len(shares) != NEEDED or len(numbers) != NEEDED:
        raise ShareError(
            "shares_too_few",
            "two different shares are needed",
            "Bring the share of a second holder.",
        )
    if len(roots) != 1:
        raise ShareError(
            "shares_of_two_keys", "these shares are of two different roots", "Compare the files."
        )
    seed = b"".join(
        Shamir.combine([(share.number, opened[part]) for share, opened in shares])
        for part in (slice(_HALF), slice(_HALF, SEED_BYTES))
    )
    key = NodeKey.from_seed(seed)
    if key.peer_id not in roots:
        raise ShareError(
            "share_wrong", "the shares do not make the root's key", "Try with the third share."
        )
    return key


def _about(number: int, holder: str, root: bytes) -> bytes:
    return f"{_FORMAT}\n{number}\n{holder}\n{root.hex()}".encode()


def _has_form(share: Share) -> bool:
    return (
        1 <= share.number <= SHARES
        and len(share.root) == PEER_ID_BYTES
        and len(share.salt) == SALT_BYTES
        and len(share.sealed) == SEED_BYTES + _TAG_BYTES
    )
