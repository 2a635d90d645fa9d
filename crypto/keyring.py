"""The office keys of a node: the present one, and those from before it, sealed to the present one.

So whoever opens the present key opens all that was ever sealed for the office, and whoever has only
a former one opens nothing new.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from crypto.identity import OfficeKey
from crypto.seal import office_key_id, open_sealed, seal

_CONTEXT = b"tiepdan former office key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """What a node opens seals with.

    Attributes:
        present: to which values are sealed now; it may be locked.
        former: private halves of earlier keys, sealed to the present one, by their key ids.
    """

    present: OfficeKey
    former: Mapping[bytes, bytes] = field(default_factory=dict)

    def has(self, key_id: bytes) -> bool:
        """Tell whether a key is among them."""
        return key_id == office_key_id(self.present.public) or key_id in self.former

    def opening(self, key_ids: Collection[bytes]) -> X25519PrivateKey:
        """Return the key that opens what lists these ids; the present one if none of them does.

        Raises:
            SealError: the present key is locked, or the former one was damaged on the disk.
        """
        earlier = next((self.former[key_id] for key_id in key_ids if key_id in self.former), None)
        if earlier is None or office_key_id(self.present.public) in key_ids:
            return self.present.private
        return self._former(earlier).private

    def handed_to(self, office_public: bytes) -> dict[bytes, bytes]:
        """Return all of them, sealed to the key that follows.

        Raises:
            SealError: the present key is locked, or a former one was damaged on the disk.
        """
        keys = [self.present, *map(self._former, self.former.values())]
        return {
            office_key_id(key.public): seal(
                key.private.private_bytes_raw(), [office_public], _CONTEXT
            )
            for key in keys
        }

    def _former(self, sealed: bytes) -> OfficeKey:
        return OfficeKey.from_private(open_sealed(sealed, self.present.private, _CONTEXT))
