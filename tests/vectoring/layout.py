"""How vectors are written down: JSON in one form, bytes in hexadecimal."""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent.parent / "vectors"


def lay_out(value: Any) -> str:
    """Return the text of a file of vectors."""
    return json.dumps(plain(value), sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, bytes):
        return value.hex()
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    return value


class Earlier:
    """The file of vectors that is in the tree.

    Some bytes are not the only ones that say the same: what is sealed has a key of its own, and
    each version of zstd packs otherwise. These stay as they are while they still read the same.

    Attributes:
        value: what stands in it; None if there is no such file.
    """

    def __init__(self, name: str) -> None:
        """Read the file; without one, everything is made anew."""
        path = FOLDER / name
        self.value = json.loads(path.read_text()) if path.exists() else None

    def keep(self, path: tuple[str | int, ...], made: bytes, read: Callable[[bytes], Any]) -> bytes:
        """Return the bytes that stand at a place of the file if they read as those made now do."""
        value: Any = self.value
        for step in path:
            here = isinstance(value, dict) and step in value
            here = here or (isinstance(value, list) and int(step) < len(value))
            value = value[step] if here else None
        if isinstance(value, str):
            try:
                if read(bytes.fromhex(value)) == read(made):
                    return bytes.fromhex(value)
            except ValueError:
                return made
        return made
