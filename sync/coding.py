"""How frames to a peer are packed: with a dictionary that it understands, if there is one."""

from collections.abc import Sequence

from schemas.wire import DICTIONARY_NAME_BYTES, PACKED, WITH_DICTIONARY
from sync.framing import dictionaries
from sync.store import Store


class Coding:
    """What a peer understands, as it said in this or an earlier session.

    Attributes:
        number: of the coding, in a frame.
        dictionary: empty for none.
    """

    def __init__(self, store: Store, peer_id: bytes) -> None:
        """Nothing is looked up yet."""
        self._store = store
        self._meta_key = f"dictionaries {peer_id.hex()}"
        self._understood: bytes | None = None
        self.number, self.dictionary = PACKED, b""

    def learn(self, names: Sequence[bytes]) -> None:
        """Remember which dictionaries the peer understands, for now and for the next session."""
        known = b"".join(names)
        if known != self.recall():
            self._store.set_meta(self._meta_key, known)
            self._choose(known)

    def recall(self) -> bytes:
        """Return what is remembered, and go by it."""
        if self._understood is None:
            self._choose(self._store.meta(self._meta_key) or b"")
        return self._understood or b""

    def _choose(self, known: bytes) -> None:
        self._understood, size = known, DICTIONARY_NAME_BYTES
        names = {known[at : at + size] for at in range(0, len(known), size)}
        for number, (digest, data) in enumerate(dictionaries().items()):
            if digest[:size] in names:
                self.number, self.dictionary = WITH_DICTIONARY + number, data
                return
        self.number, self.dictionary = PACKED, b""
