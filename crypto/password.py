"""Passwords of accounts: Argon2id (RFC 9106) in the PHC text format."""

import re
import unicodedata

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from crypto.errors import PasswordError

# First choice of OWASP's Password Storage Cheat Sheet that fits a node of 1 GB: 19 MiB, 2 passes.
MEMORY_KIB = 19_456
PASSES = 2
LANES = 1
HASH_BYTES = 32
SALT_BYTES = 16

PASSWORD_CHARS_MIN = 10
# Nobody types more; a longer text would only cost the node time.
PASSWORD_CHARS_MAX = 256

_PHC = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,6}),t=([0-9]{1,2}),p=([0-9]{1,2})"
    r"\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}"
)


def hash_password(password: str, salt: bytes) -> str:
    """Return the PHC text to store.

    Args:
        password: what the person typed; both Unicode spellings of a Vietnamese letter count as one.
        salt: 16 random bytes, new for each password.

    Raises:
        PasswordError: password_too_short or password_too_long.
        ValueError: the salt does not have 16 bytes.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt of {len(salt)} bytes")
    typed = _normalise(password)
    if len(typed) < PASSWORD_CHARS_MIN:
        raise PasswordError(
            "password_too_short",
            f"a password of {len(typed)} characters",
            f"Choose a password of at least {PASSWORD_CHARS_MIN} characters.",
        )
    if len(typed) > PASSWORD_CHARS_MAX:
        raise PasswordError(
            "password_too_long",
            f"a password of {len(typed)} characters",
            f"Choose a password of at most {PASSWORD_CHARS_MAX} characters.",
        )
    argon = Argon2id(
        salt=salt, length=HASH_BYTES, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB
    )
    return argon.derive_phc_encoded(_encode(typed))


def verify_password(password: str, phc: str) -> None:
    """Check what a person typed against the stored text.

    Raises:
        PasswordError: password_wrong, or password_hash_malformed when the stored text is not one
            that hash_password() makes or asks for far more work.
    """
    costs = _PHC.fullmatch(phc)
    if costs is None or int(costs[1]) > 8 * MEMORY_KIB:
        raise PasswordError(
            "password_hash_malformed",
            "the stored password cannot be read",
            "Set a new password for this account.",
        )
    typed = _normalise(password)
    if len(typed) > PASSWORD_CHARS_MAX:
        raise PasswordError("password_wrong", "the password is wrong")
    try:
        Argon2id.verify_phc_encoded(_encode(typed), phc)
    except (InvalidKey, ValueError) as error:
        raise PasswordError("password_wrong", "the password is wrong") from error


def _normalise(password: str) -> str:
    # RFC 8265 section 4.2.2: keyboards of two makers write one letter in one or in two characters.
    return unicodedata.normalize("NFC", password)


def _encode(password: str) -> bytes:
    # A form can carry a lone surrogate, which is no character but must not stop the node.
    return password.encode("utf-8", "surrogatepass")
