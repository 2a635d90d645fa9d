"""What is sealed in records and in the audit trail, and for whom.

Sealing needs public keys only, so a node whose office key is locked goes on registering; opening,
and telling that two numbers are the same, needs the private half.
"""

from typing import Final

from crypto.certificates import chain_from_der, subject_of
from crypto.errors import SealError
from crypto.keyring import Keyring
from crypto.seal import from_text, office_key_id, open_sealed, recipients_of, seal, to_text
from crypto.tiers import is_above
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
    """Seals for this office and the one above, and opens what this office may."""

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
        """Return the value of a field, sealed to this office and the province above it.

        While no key of the province counts, the centre takes its place.
        """
        above = self._of_province() or self._of(Tier.CENTRE)
        keys = {self._office_public(), *above}
        return to_text(seal(text.encode(), sorted(keys), _CONTEXTS[field] + document))

    def _office_public(self) -> bytes:
        """Return the key of this office: for an outpost its commune's, so that a thief has none."""
        own = self._replica.subject
        if own.tier is not Tier.OUTPOST:
            return own.office_public
        return subject_of(chain_from_der(self._replica.chain)[1]).office_public

    def sealed_anew(self, document: DocumentId, field: str, sealed: str) -> str | None:
        """Return a value sealed for the keys that count now; None if it is.

        Raises:
            RequestError: the key is locked, or it was not sealed for this office.
        """
        text = self.open(document, field, sealed)
        if recipients_of(from_text(sealed)).issuperset(map(office_key_id, self._of_province())):
            return None
        return self.seal(document, field, text)

    def keys_above(self) -> bytes | None:
        """Return the ids of the keys above for which a commune seals; empty while none counts."""
        if self._replica.subject.tier is not Tier.COMMUNE:
            return None
        return b"".join(sorted(map(office_key_id, self._of_province())))

    def _of_province(self) -> list[bytes]:
        """Return the office keys of the province above: as met, else as our chain names it."""
        revocations = self._replica.intake.revocations
        chain = [subject_of(above) for above in chain_from_der(self._replica.chain)[1:]]
        return self._of(Tier.PROVINCE) or [
            above.office_public
            for above in chain
            if above.tier is Tier.PROVINCE and not revocations.of(above.peer_id, above.code)
        ]

    def _of(self, tier: Tier) -> list[bytes]:
        """Return the office keys of nodes above that were met and whose keys count.

        A revoked key is in other hands: it gets nothing new.
        """
        own, revocations = self._replica.subject, self._replica.intake.revocations
        return [
            peer.office_key
            for peer in self._replica.store.peers()
            if peer.tier == tier.value
            and own.tier is Tier.COMMUNE
            and is_above(peer.code, own.code)
            and not revocations.of(peer.peer_id, peer.code)
        ]

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
        return to_text(seal(words.encode(), [self._office_public()], _WORDS))

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
