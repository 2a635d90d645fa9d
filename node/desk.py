"""What people do with records: each request becomes changes to documents, all in one transaction.

Called inside a transaction of the replica. Ids are minted before anything is sent, by the client
where it can, so that a request whose answer was lost can be repeated.
"""

import random
from collections.abc import Mapping, Sequence

from crypto.keyring import Keyring
from crypto.tiers import is_directly_above, office_code
from node.cases.denunciation import is_code
from node.cases.fold import fold
from node.cases.guards import check
from node.cases.history import Fact
from node.cases.standing import CaseStanding
from node.clock import date_of
from node.data_requests import open_requests
from node.errors import RequestError
from node.following import seen
from node.requests import CaseAction, DirectiveAction, EditFields, IssueDirective, SplitCase
from node.sealing import Sealing, check_values, sealed_error
from node.seals import Seals
from schemas.codes import CaseType, Channel, DocumentKind, Role
from schemas.errors import RecordError
from schemas.event_text import KnownEvent, decode_event, parse_event
from schemas.events import (
    Attached,
    DirectiveAcknowledged,
    DirectiveDone,
    DirectiveIssued,
    DirectiveLinked,
    DirectiveReported,
    DirectiveWithdrawn,
    Event,
    PersonJoined,
    PetitionLinked,
    Received,
    Registered,
    Split,
    StateEvent,
    TakenAlong,
)
from schemas.fields import FIELDS, SEALED_FIELDS, check_field
from schemas.ids import DocumentId, EventId, document_text, mint_document_id, parse_document_id
from schemas.person_events import DataAnswered
from schemas.record import decode_writer
from sync.change import Scalar
from sync.replica import Author, Replica
from sync.scope import is_within

# Texts are made with their document, so that two devices never make the same one twice.
_TEXTS = {
    kind: {name: "" for name, spec in FIELDS[kind].items() if spec.shape == "text"}
    for kind in DocumentKind
}

# Taken down once, at the desk, from the paper itself.
_NUMBERS = SEALED_FIELDS - {"sealed_ref"}


class Desk:
    """Commands of one node; all run inside `replica.transaction()`.

    Attributes:
        seals: what is sealed and opened here.
    """

    def __init__(self, replica: Replica, rng: random.Random, keyring: Keyring) -> None:
        """Write through a replica.

        Args:
            replica: ours.
            rng: mints ids that no client minted.
            keyring: opens what is sealed.
        """
        self._replica = replica
        self._rng = rng
        self.seals = Seals(replica, keyring)
        self._sealing = Sealing(self._kind_or_none, self.facts)

    # Reading what guards need

    def facts(self, document: DocumentId) -> list[Fact]:
        """Return the events of a document with their writers."""
        rows = self._replica.store.db.execute(
            "SELECT e.id, e.body, w.body FROM event e JOIN writer w ON w.log = e.log"
            " AND w.number = e.writer WHERE e.document = ?",
            (document,),
        )
        return [
            Fact(id=EventId(row[0]), event=decode_event(row[1]), writer=decode_writer(row[2]))
            for row in rows
        ]

    def standing(self, case_id: str) -> CaseStanding:
        """Return where a case stands.

        Raises:
            RequestError: there is no such case here.
        """
        return fold(self.facts(self._existing(case_id, DocumentKind.CASE)))

    def fields(self, document: DocumentId) -> dict[str, Scalar]:
        """Return the field values of a document."""
        return self._replica.intake.registers(document).values()

    def heads(self, document_id: str) -> list[str]:
        """Return the heads that an edit of this version must carry as its base."""
        document = self._existing(document_id)
        return [head.hex() for head in self._replica.intake.documents.heads(document)]

    # Cases

    def act(self, author: Author, case_id: str, request: CaseAction, now_ms: int) -> list[str]:
        """Add an event to a case after its guards, and return its id.

        Raises:
            RequestError: the case is unknown, or changed since the officer looked.
            GuardError: the case as it stands does not allow it.
            pydantic.ValidationError: the event has the wrong shape.
        """
        document = self._existing(case_id, DocumentKind.CASE)
        event = parse_event(request.event)
        if isinstance(event, Split):
            raise RequestError("use_split", "A case is split by its own request.")
        if isinstance(event, TakenAlong):
            self._check_outpost(event.to_code)
        facts = self.facts(document)
        standing = fold(facts)
        if isinstance(event, StateEvent):
            follows = standing.tips if request.follows is None else request.follows
            if set(follows) != set(standing.tips):
                if not request.apart:
                    raise RequestError(
                        "case_changed",
                        "The case changed since this page was opened.",
                        "Look at the newest entries, then decide again.",
                    )
                standing = fold(seen(facts, follows))
            event = event.model_copy(update={"follows": tuple(sorted(follows))})
        self.check(author, self.fields(document), standing, event)
        written = self._replica.write(author, document, now_ms=now_ms, events=[event])
        return list(written.events)

    def _check_outpost(self, code: str) -> None:
        if not is_directly_above(self._replica.subject.code, code):
            raise RequestError(
                "address_foreign", f"{code} is no outpost of this office.", field="to_code"
            )

    def split(self, author: Author, case_id: str, request: SplitCase, now_ms: int) -> list[str]:
        """Split a case of several contents into one case each, and return their ids."""
        document = self._existing(case_id, DocumentKind.CASE)
        standing = self.standing(case_id)
        children = [self.new_id(child.id, now_ms) for child in request.children]
        texts = tuple(document_text(child) for child in children)
        event = Split(children=texts, follows=standing.tips)
        self.check(author, self.fields(document), standing, event)
        fields = self.fields(document)
        for child, entry in zip(children, request.children, strict=True):
            if entry.case_type is CaseType.DENUNCIATION:
                raise RequestError(
                    "denunciation_identity",
                    "A denunciation cannot be split off: the case it would name tells too much.",
                    "Register the denunciation apart, under the number of its sealed envelope.",
                )
            received = Received(
                on=standing.received_on or date_of(now_ms),
                channel=standing.channel or Channel.VISIT,
                stated_type=entry.case_type,
                petition=standing.petition,
                parent=case_id,
            )
            self.open_case(
                author,
                child,
                [received, Registered(), *standing.people],
                {"title": entry.title or str(fields.get("title", ""))},
                {"summary": entry.summary},
                now_ms,
            )
        self._replica.write(author, document, now_ms=now_ms, events=[event])
        return list(texts)

    def open_case(
        self,
        author: Author,
        document: DocumentId,
        events: Sequence[Event],
        fields: Mapping[str, str | int | None],
        texts: Mapping[str, str],
        now_ms: int,
    ) -> None:
        """Write a new case whose state events follow each other in the order given."""
        ids = self._replica.reserve(author, len(events), now_ms)
        chained: list[Event] = []
        tips: tuple[EventId, ...] = ()
        for key, event in zip(ids, events, strict=True):
            if isinstance(event, StateEvent):
                chained.append(event.model_copy(update={"follows": tips}))
                tips = (key,)
            else:
                chained.append(event)
        self.create(author, document, DocumentKind.CASE, chained, fields, texts, now_ms, ids)

    def join_case(
        self,
        author: Author,
        case_id: str,
        petition_id: str,
        shared: Sequence[KnownEvent],
        now_ms: int,
    ) -> None:
        """Add a further petition, and who brought it, to an existing case.

        Raises:
            RequestError: there is no such case here.
            GuardError: the case may not hold them.
        """
        document = self._existing(case_id, DocumentKind.CASE)
        standing = self.standing(case_id)
        known = {person.person for person in standing.people}
        events: list[KnownEvent] = [PetitionLinked(petition=petition_id, case=case_id)]
        events += [
            event
            for event in shared
            if not (isinstance(event, PersonJoined) and event.person in known)
        ]
        for event in events:
            self.check(author, self.fields(document), standing, event)
        self._replica.write(author, document, now_ms=now_ms, events=events)

    def create(
        self,
        author: Author,
        document: DocumentId,
        kind: DocumentKind,
        events: Sequence[Event],
        fields: Mapping[str, str | int | None],
        texts: Mapping[str, str],
        now_ms: int,
        ids: Sequence[EventId] = (),
    ) -> None:
        """Write a new document; empty values are left out."""
        self._replica.write(
            author,
            document,
            now_ms=now_ms,
            kind=kind.value,
            fields={name: value for name, value in fields.items() if value not in ("", None)},
            texts=_TEXTS[kind] | {name: text for name, text in texts.items() if text},
            events=events,
            ids=ids,
        )

    # Fields and files of any document

    def edit(self, author: Author, document_id: str, request: EditFields, now_ms: int) -> None:
        """Set fields and texts; values changed since `base` stay beside them as rivals.

        Raises:
            RequestError: unknown document, or a field that it may not have.
        """
        document = self._existing(document_id)
        kind = self._kind(document)
        for name, value in request.fields.items():
            try:
                if value is not None:
                    check_field(kind, name, value)
            except RecordError as error:
                raise RequestError(error.code, str(error), field=name) from error
            if name not in FIELDS[kind] or FIELDS[kind][name].shape == "text" or name in _NUMBERS:
                raise RequestError("field_unknown", f"{name} cannot be set here.", field=name)
        for name in request.texts:
            if name not in _TEXTS[kind]:
                raise RequestError("field_unknown", f"There is no text {name}.", field=name)
        fields = self._with_seals(document, request.fields)
        if self.is_sealed(document):
            check_values({**fields, **request.texts})
        base = None if request.base is None else tuple(bytes.fromhex(h) for h in request.base)
        self._replica.write(
            author,
            document,
            now_ms=now_ms,
            fields=fields,
            texts=request.texts,
            base=base,
        )

    def _with_seals(
        self, document: DocumentId, fields: Mapping[str, str | int | None]
    ) -> dict[str, str | int | None]:
        """Return the values with those sealed that stand in records only so."""
        sealed = {
            name: self.seals.seal_code(document, name, value)
            for name, value in fields.items()
            if name in SEALED_FIELDS and value
        }
        return {**fields, **sealed}

    def attach(
        self,
        author: Author,
        document_id: str,
        sha256: bytes,
        size_bytes: int,
        name: str,
        media_type: str,
        now_ms: int,
    ) -> str:
        """Note that a file, whose bytes are in place, belongs to a document.

        Raises:
            RequestError: unknown document, or a denunciation.
        """
        document = self.attachable(document_id)
        event = Attached(
            sha256=sha256.hex(), size_bytes=size_bytes, name=name, media_type=media_type
        )
        self._replica.store.blob_arrived(sha256, size_bytes)
        return self._replica.write(author, document, now_ms=now_ms, events=[event]).events[0]

    def attachable(self, document_id: str) -> DocumentId:
        """Return a document that may hold files.

        Raises:
            RequestError: unknown document, or a denunciation.
        """
        document = self._existing(document_id)
        if self.is_sealed(document):
            raise RequestError(
                "denunciation_sealed",
                "Papers of a denunciation are not kept on this machine.",
                "Put them into the sealed envelope and note its number.",
            )
        return document

    # Directives

    def issue_directive(self, author: Author, request: IssueDirective, now_ms: int) -> str:
        """Write a directive to offices at or below this one, and return its id.

        Raises:
            RequestError: a foreign address, an unknown case, or words about a denunciation.
        """
        here = office_code(self._replica.subject.code)
        for code in request.to_codes:
            if not (here == "0" or is_within(code, here)):
                raise RequestError(
                    "address_foreign", f"Office {code} is not under this one.", field="to_codes"
                )
        document = self.new_id(request.id, now_ms)
        text = document_text(document)
        if self._kind_or_none(document) is not None:
            return text
        self._sealing.check_directive(request.case_id, {"body": request.body})
        event = DirectiveIssued(
            case=request.case_id, to_codes=request.to_codes, due_on=request.due_on
        )
        fields = {"title": request.title, "letter_number": request.letter_number}
        self.create(
            author,
            document,
            DocumentKind.DIRECTIVE,
            [event],
            fields,
            {"body": request.body},
            now_ms,
        )
        if request.case_id is not None:
            case = self._existing(request.case_id, DocumentKind.CASE)
            link = DirectiveLinked(directive=text)
            self._replica.write(author, case, now_ms=now_ms, events=[link])
        return text

    def directive_act(
        self, author: Author, directive_id: str, request: DirectiveAction, now_ms: int
    ) -> str:
        """Add an event to a directive and return its id.

        Raises:
            RequestError: not this office's turn.
        """
        document = self._existing(directive_id, DocumentKind.DIRECTIVE)
        event = parse_event(request.event)
        issued = next(
            fact for fact in self.facts(document) if isinstance(fact.event, DirectiveIssued)
        )
        here = office_code(self._replica.subject.code)
        assert isinstance(issued.event, DirectiveIssued)
        match event:
            case DirectiveAcknowledged() | DirectiveReported():
                is_turn = here in issued.event.to_codes
            case DirectiveDone() | DirectiveWithdrawn():
                is_turn = here == office_code(issued.writer.code)
            case _:
                raise RequestError("event_foreign", "This is not an event of a directive.")
        if not is_turn:
            raise RequestError("directive_foreign", "This step belongs to another office.")
        is_said = isinstance(event, DirectiveReported) and not is_code(event.text)
        if is_said and self.is_sealed(document):
            raise sealed_error("text")
        return self._replica.write(author, document, now_ms=now_ms, events=[event]).events[0]

    # People

    def person_act(self, author: Author, person_id: str, event: Event, now_ms: int) -> str:
        """Add an event to a person and return its id.

        Raises:
            RequestError: there is no such person here, or such a request waits for no answer.
        """
        document = self._existing(person_id, DocumentKind.PERSON)
        if isinstance(event, DataAnswered) and event.request not in open_requests(
            self.facts(document)
        ):
            raise RequestError("request_unknown", "No request of that kind waits for an answer.")
        return self._replica.write(author, document, now_ms=now_ms, events=[event]).events[0]

    # Sealed numbers

    def reveal(self, document_id: str, field: str) -> str:
        """Open a sealed field; the caller writes who looked into the audit trail.

        Raises:
            RequestError: there is none, or it cannot be opened here.
        """
        document = self._existing(document_id)
        sealed = self.fields(document).get(field)
        if not isinstance(sealed, str) or not sealed:
            raise RequestError("identity_missing", "Nothing is sealed there.")
        return self.seals.open(document, field, sealed)

    # Small parts

    def new_id(self, text: str | None, now_ms: int) -> DocumentId:
        """Return the id a client minted, or a new one."""
        return parse_document_id(text) if text else mint_document_id(now_ms, self._rng)

    def _existing(self, text: str, kind: DocumentKind | None = None) -> DocumentId:
        try:
            document = parse_document_id(text)
        except RecordError as error:
            raise _unknown() from error
        found = self._kind_or_none(document)
        if found is None or (kind is not None and found is not kind):
            raise _unknown()
        return document

    def _kind_or_none(self, document: DocumentId) -> DocumentKind | None:
        kind = self._replica.intake.registers(document).kind
        return DocumentKind(kind) if kind in set(DocumentKind) else None

    def _kind(self, document: DocumentId) -> DocumentKind:
        kind = self._kind_or_none(document)
        if kind is None:
            raise _unknown()
        return kind

    def is_sealed(self, document: DocumentId) -> bool:
        """Tell whether the rules of a denunciation hold for a document."""
        return self._sealing.holds(document)

    def is_known(self, document: DocumentId) -> bool:
        """Tell whether a document is here already."""
        return self._kind_or_none(document) is not None

    def check(
        self,
        author: Author,
        fields: Mapping[str, object],
        standing: CaseStanding,
        event: KnownEvent,
    ) -> None:
        """Refuse an event that the case as it stands, or the author's role, does not allow.

        Raises:
            GuardError, RequestError: why.
        """
        if isinstance(event, PetitionLinked):
            self._sealing.check_link(standing, event)
        check(
            standing,
            event,
            fields=fields,
            writer_role=Role(author.role),
            writer_tier=self._replica.subject.tier,
        )


def _unknown() -> RequestError:
    return RequestError("not_found", "There is no such record here.")
