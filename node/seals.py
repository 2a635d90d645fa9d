"""What is sealed in records and in the audit trail, and for whom.

Sealing needs public keys only, so a node whose office key is locked goes on registering; opening,
and telling that two numbers are the same, needs the private half.
"""

from typing import Final

from crypto.certificates import chain_from_der, subject_of
from crypto.errors import SealError
from crypto.keyring import Keyring
from crypto.seal import from_text, office_key_id, open_sealed, recipients_of, seal, to_text
from node.cases.denunciation import is_code
from node.errors import RequestError
from node.sealing import sealed_error
from schemas.codes import Tier
from schemas.ids import DocumentId
from sync.replica import Replica

# What ties a sealed value to its place, by field.
_CONTEXTS: Final = {
    "identity_number": b"tiepdan identity number ",
    "sealed_ref": b"tiepdan sealed reference ",
}
_WORDS: Final = b"tiepdan audit words"


class Seals:
    """Seals for this office and those above, and opens what this office may."""

    def __init__(self, replica: Replica, keyring: Keyring) -> None:
        """Open with the keys of a keyring, and seal for the peers that a replica knows."""
        self._replica, self._keyring = replica, keyring

    @property
    def is_open(self) -> bool:
        """Tell whether the office key is unlocked."""
        return self._keyring.present.is_open

    @property
    def key_id(self) -> bytes:
        """Which office key this is."""
        return office_key_id(self._keyring.present.public)

    def seal(self, document: DocumentId, field: str, text: str) -> str:
        """Return the value of a field, sealed to this office and the province above it."""
        keys = {self._replica.subject.office_public, *self._keys_above()}
        return to_text(seal(text.encode(), sorted(keys), _CONTEXTS[field] + document))

    def _keys_above(self) -> list[bytes]:
        """Return the office key of the province above: as met last, else as our chain names it."""
        met = [
            peer.office_key
            for peer in self._replica.store.peers()
            if peer.tier == Tier.PROVINCE.value and not peer.is_child
        ]
        chain = [subject_of(above) for above in chain_from_der(self._replica.chain)[1:]]
        return met or [above.office_public for above in chain if above.tier is Tier.PROVINCE]

    def seal_code(self, document: DocumentId, field: str, value: object) -> str:
        """Return the sealed value of a field that holds a code.

        Raises:
            RequestError: it holds words.
        """
        if not isinstance(value, str) or not is_code(value):
            raise sealed_error(field)
        return self.seal(document, field, value)

    def open(self, document: DocumentId, field: str, sealed: str) -> str:
        """Return what was sealed in a field.

        Raises:
            RequestError: the key is locked, or it was not sealed for this office.
        """
        return self._open(sealed, _CONTEXTS[field] + document)

    def seal_words(self, words: str) -> str:
        """Return what somebody typed, sealed to this office alone."""
        return to_text(seal(words.encode(), [self._replica.subject.office_public], _WORDS))

    def open_words(self, sealed: str) -> str:
        """Return what seal_words() sealed.

        Raises:
            RequestError: the key is locked, or it was not sealed for this office.
        """
        return self._open(sealed, _WORDS)

    def paper_mark(self, document: DocumentId, sealed: str) -> bytes:
        """Return a mark that is the same for the same number of a paper, for this office only.

        Raises:
            RequestError: the key is locked, or it was not sealed for this office.
        """
        number = self.open(document, "identity_number", sealed)
        return self._keyring.present.mark(number.strip().upper().encode())

    def _open(self, sealed: str, context: bytes) -> str:
        try:
            blob = from_text(sealed)
            key = self._keyring.opening(recipients_of(blob))
            return open_sealed(blob, key, context).decode()
        except SealError as error:
            raise RequestError(
                error.code, "This office cannot open what is sealed there.", error.hint
            ) from error
