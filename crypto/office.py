"""The file of an office key: three lines, with the private half in plain or under a passphrase.

The public half is bound to what is under the passphrase (crypto/passphrase.py).
"""

import re

from crypto.errors import KeyfileError
from crypto.identity import OfficeKey
from crypto.passphrase import open_under, seal_under

# Typed after each start, so somewhat shorter than one that lies in a drawer.
PASSPHRASE_CHARS_MIN = 12

_HEADER = "tiepdan office key v1"
_ARGON = "argon2id m=65536,t=3,p=4"
_LINES = re.compile(
    rf"{_HEADER}\n([0-9a-f]{{64}})\n"
    rf"(?:plain ([0-9a-f]{{64}})|{_ARGON} ([0-9a-f]{{32}}) ([0-9a-f]{{96}}))\n"
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
    box = seal_under(
        passphrase, private, salt=salt, about=key.public, chars_min=PASSPHRASE_CHARS_MIN
    )
    return f"{_HEADER}\n{key.public.hex()}\n{_ARGON} {salt.hex()} {box.hex()}\n".encode()


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
    opened = open_under(
        passphrase, bytes.fromhex(box), salt=bytes.fromhex(salt), about=bytes.fromhex(public)
    )
    return OfficeKey.from_private(opened)


def _parts(data: bytes) -> tuple[str, str, str, str]:
    found = _LINES.fullmatch(data.decode("ascii", "replace"))
    if found is None:
        raise _damaged()
    public, plain, salt, box = found.groups(default="")
    return public, plain, salt, box


def _damaged() -> KeyfileError:
    return KeyfileError(
        "office_key_damaged",
        "the file of the office key is damaged or not the kind of file that was expected",
        "Restore it from the backup or from the paper copy.",
    )
