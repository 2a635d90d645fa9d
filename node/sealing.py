"""Which documents are kept like a denunciation, and what may still be written into them.

A petition and its case say so themselves. The visit that brought it and a directive about it hold
no more than they do, or the name that is kept out by one door would come in by another.
"""

from collections.abc import Callable, Mapping, Sequence

from node.cases.denunciation import telling_fields
from node.cases.fold import fold
from node.cases.history import Fact
from node.cases.standing import CaseStanding
from node.errors import RequestError
from schemas.codes import CaseType, DocumentKind
from schemas.events import DirectiveIssued, PetitionLinked, PetitionLodged
from schemas.ids import DocumentId, parse_document_id


class Sealing:
    """Answers from the facts of documents; of a document that is not here it knows nothing."""

    def __init__(
        self,
        kind_of: Callable[[DocumentId], DocumentKind | None],
        facts_of: Callable[[DocumentId], Sequence[Fact]],
    ) -> None:
        """Ask these for the kind and the facts of a document."""
        self._kind_of = kind_of
        self._facts_of = facts_of

    def holds(self, document: DocumentId) -> bool:
        """Tell whether the rules of a denunciation hold for a document."""
        facts = self._facts_of(document)
        match self._kind_of(document):
            case DocumentKind.CASE:
                return fold(facts).is_sealed
            case DocumentKind.PETITION:
                lodged = [fact.event for fact in facts if isinstance(fact.event, PetitionLodged)]
                return any(event.stated_type is CaseType.DENUNCIATION for event in lodged)
            case DocumentKind.VISIT:
                linked = [fact.event for fact in facts if isinstance(fact.event, PetitionLinked)]
                return any(self._names(event.petition, event.case) for event in linked)
            case DocumentKind.DIRECTIVE:
                issued = [fact.event for fact in facts if isinstance(fact.event, DirectiveIssued)]
                return any(self._names(event.case) for event in issued)
        return False

    def _names(self, *references: str | None) -> bool:
        """Tell whether a case or a petition among the references is a denunciation."""
        documents = [parse_document_id(reference) for reference in references if reference]
        ends = (DocumentKind.CASE, DocumentKind.PETITION)
        return any(self._kind_of(d) in ends and self.holds(d) for d in documents)

    def check_link(self, standing: CaseStanding, event: PetitionLinked) -> None:
        """Refuse to tie a denunciation to a matter that names people.

        Raises:
            RequestError: one of the two is a denunciation and the other is not.
        """
        if self._names(event.petition) != standing.is_sealed:
            raise RequestError(
                "denunciation_linked",
                "A denunciation does not stand beside a matter that names people.",
                "Record it without the link; write the connection on the sealed envelope.",
            )

    def check_directive(self, case_id: str | None, values: Mapping[str, object]) -> None:
        """Refuse words in a directive about a denunciation.

        Raises:
            RequestError: with the value that holds words.
        """
        if self._names(case_id):
            check_values(values)


def check_values(values: Mapping[str, object]) -> None:
    """Refuse what a denunciation may not hold: anything but numbers, dates and codes.

    Raises:
        RequestError: with the first value that is wrong.
    """
    wrong = telling_fields(values)
    if wrong:
        raise sealed_error(wrong[0])


def sealed_error(field: str) -> RequestError:
    """Return the refusal of a field of a denunciation."""
    return RequestError(
        "denunciation_sealed",
        "A denunciation holds only the envelope's number and an opaque reference here.",
        "Write everything else on paper, into the sealed envelope.",
        field,
    )
