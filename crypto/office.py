"""The file of an office key: three lines, with the private half in plain or under a passphrase.

Under a passphrase it is encrypted with ChaCha20-Poly1305 (RFC 8439); the key comes from Argon2id
(RFC 9106) with a new salt each time, so the nonce is zero. The public half is bound to it. Whoever
has the file may guess offline, so this costs more than the password of an account.
"""

import re
import unicodedata

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from crypto.errors import KeyfileError, PasswordError
from crypto.identity import OfficeKey

# Second choice of RFC 9106 section 4, which a node of 1 GB can afford once at its start.
MEMORY_KIB = 65_536
PASSES = 3
LANES = 4
SALT_BYTES = 16
PASSPHRASE_CHARS_MIN = 12
PASSPHRASE_CHARS_MAX = 256

_HEADER = "tiepdan office key v1"
_NONCE = bytes(12)
_LINES = re.compile(
    rf"{_HEADER}\n([0-9a-f]{{64}})\n"
    r"(?:plain ([0-9a-f]{64})|argon2id m=65536,t=3,p=4 ([0-9a-f]{32}) ([0-9a-f]{96}))\n"
)


def office_key_file(key: OfficeKey, passphrase: str = "", salt: bytes = b"") -> bytes:
    """Return the content of the file; without a passphrase the key stands in it in plain.

    Args:
        key: open.
        passphrase: both Unicode spellings of a Vietnamese letter count as one.
        salt: 16 random bytes, new each time.

    Raises:
        PasswordError: passphrase_too_short or passphrase_too_long.
        SealError: the key is locked.
    """
    private = key.private.private_bytes_raw()
    if not passphrase:
        return f"{_HEADER}\n{key.public.hex()}\nplain {private.hex()}\n".encode()
    _check(passphrase)
    box = ChaCha20Poly1305(_secret(passphrase, salt)).encrypt(_NONCE, private, key.public)
    argon = f"argon2id m={MEMORY_KIB},t={PASSES},p={LANES}"
    return f"{_HEADER}\n{key.public.hex()}\n{argon} {salt.hex()} {box.hex()}\n".encode()


def read_office_key(data: bytes) -> OfficeKey:
    """Return the key in a file: open if it stands there in plain, else locked.

    Raises:
        KeyfileError: office_key_damaged.
    """
    public, plain, _, _ = _parts(data)
    if not plain:
        return OfficeKey(bytes.fromhex(public))
    key = OfficeKey.from_private(bytes.fromhex(plain))
    if key.public.hex() != public:
        raise _damaged()
    return key


def is_plain(data: bytes) -> bool:
    """Tell whether anybody who has the file has the key.

    Raises:
        KeyfileError: office_key_damaged.
    """
    return bool(_parts(data)[1])


def open_office_key(data: bytes, passphrase: str) -> OfficeKey:
    """Return the whole key in a file that a passphrase protects.

    Raises:
        KeyfileError: office_key_damaged.
        PasswordError: passphrase_wrong.
    """
    public, plain, salt, box = _parts(data)
    if plain:
        return read_office_key(data)
    if len(passphrase) > PASSPHRASE_CHARS_MAX:
        raise _wrong()
    try:
        opened = ChaCha20Poly1305(_secret(passphrase, bytes.fromhex(salt))).decrypt(
            _NONCE, bytes.fromhex(box), bytes.fromhex(public)
        )
    except InvalidTag as error:
        raise _wrong() from error
    return OfficeKey.from_private(opened)


def _parts(data: bytes) -> tuple[str, str, str, str]:
    found = _LINES.fullmatch(data.decode("ascii", "replace"))
    if found is None:
        raise _damaged()
    public, plain, salt, box = found.groups(default="")
    return public, plain, salt, box


def _check(passphrase: str) -> None:
    chars = len(unicodedata.normalize("NFC", passphrase))
    if chars < PASSPHRASE_CHARS_MIN:
        raise PasswordError(
            "passphrase_too_short",
            f"a passphrase of {chars} characters",
            f"Choose several words, at least {PASSPHRASE_CHARS_MIN} characters.",
        )
    if chars > PASSPHRASE_CHARS_MAX:
        raise PasswordError(
            "passphrase_too_long",
            f"a passphrase of {chars} characters",
            f"Choose one of at most {PASSPHRASE_CHARS_MAX} characters.",
        )


def _secret(passphrase: str, salt: bytes) -> bytes:
    typed = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    argon = Argon2id(salt=salt, length=32, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB)
    return argon.derive(typed)


def _damaged() -> KeyfileError:
    return KeyfileError(
        "office_key_damaged",
        "the file of the office key is damaged or not the kind of file that was expected",
        "Restore it from the backup or from the paper copy.",
    )


def _wrong() -> PasswordError:
    return PasswordError("passphrase_wrong", "the passphrase is wrong")
