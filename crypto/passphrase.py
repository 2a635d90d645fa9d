"""Secrets under a passphrase: Argon2id (RFC 9106) and ChaCha20-Poly1305 (RFC 8439).

Whoever finds such a file has all the time to guess, so the work is more than for the passwords of
accounts, and the passphrase is longer.
"""

import unicodedata
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from crypto.errors import PasswordError

SALT_BYTES: Final = 16
PASSPHRASE_CHARS_MIN: Final = 16
_PASSPHRASE_CHARS_MAX: Final = 256
# The second of the two choices that RFC 9106 section 4 recommends.
_MEMORY_KIB: Final = 65_536
_PASSES: Final = 3
_LANES: Final = 4
# Each key seals one secret, as each has a salt of its own.
_NONCE: Final = bytes(12)


def check_passphrase(passphrase: str, chars_min: int = PASSPHRASE_CHARS_MIN) -> None:
    """Check that a new passphrase has a length that is good.

    Raises:
        PasswordError: passphrase_too_short or passphrase_too_long.
    """
    length = len(_normal(passphrase))
    if length < chars_min:
        raise PasswordError(
            "passphrase_too_short",
            f"a passphrase of {length} characters",
            f"Choose one of at least {chars_min} characters: four or five words that"
            " nobody else would put together.",
        )
    if length > _PASSPHRASE_CHARS_MAX:
        raise PasswordError(
            "passphrase_too_long",
            f"a passphrase of {length} characters",
            f"Choose one of at most {_PASSPHRASE_CHARS_MAX} characters.",
        )


def seal_under(
    passphrase: str,
    secret: bytes,
    *,
    salt: bytes,
    about: bytes,
    chars_min: int = PASSPHRASE_CHARS_MIN,
) -> bytes:
    """Return a sealed secret.

    Args:
        passphrase: both Unicode spellings of a Vietnamese letter count as one.
        secret: in plain.
        salt: 16 random bytes, new for each secret.
        about: what must be the same when it is opened.
        chars_min: how long the passphrase must be.

    Raises:
        PasswordError: the passphrase is too short or too long.
    """
    check_passphrase(passphrase, chars_min)
    return ChaCha20Poly1305(_key(passphrase, salt)).encrypt(_NONCE, secret, about)


def open_under(passphrase: str, sealed: bytes, *, salt: bytes, about: bytes) -> bytes:
    """Return the secret.

    Raises:
        PasswordError: passphrase_wrong, also where the file was altered.
    """
    try:
        return ChaCha20Poly1305(_key(passphrase, salt)).decrypt(_NONCE, sealed, about)
    except InvalidTag as error:
        raise PasswordError(
            "passphrase_wrong",
            "the passphrase is wrong, or the file was altered",
            "Type it again; mind capitals and the keyboard layout.",
        ) from error


def _key(passphrase: str, salt: bytes) -> bytes:
    argon = Argon2id(
        salt=salt, length=32, iterations=_PASSES, lanes=_LANES, memory_cost=_MEMORY_KIB
    )
    return argon.derive(_normal(passphrase).encode("utf-8", "surrogatepass"))


def _normal(passphrase: str) -> str:
    return unicodedata.normalize("NFC", passphrase)[: _PASSPHRASE_CHARS_MAX + 1]
