"""Cases and their documents: lists, reading, events, edits, splits."""

import logging
import re
from dataclasses import dataclass
from typing import Final

from node.cases.guards import allowed_events
from node.cases.machine import CLOSING_REASONS
from node.cases.standing import Branch, CaseStanding
from node.queries.cases import CaseFilter, list_cases
from node.queries.documents import document_fields, same_papers
from node.queries.facts import CasePage, Today
from node.queries.facts import Office as OfficeName
from node.queries.files import case_file
from node.queries.offices import office_names
from node.queries.reception import online_reception, representatives
from node.queries.sync_state import changed_ms, sync_states
from node.queries.today import today, yesterday_ms
from node.requests import CaseAction, EditFields, SplitCase
from node.trail import note, note_view
from node.web.answers import (
    BranchView,
    CaseAnswer,
    Cases,
    DocumentAnswer,
    DocumentSync,
    Done,
    Events,
    IdentityAnswer,
    ReferenceAnswer,
)
from node.web.calls import Call
from node.web.errors import not_found
from node.web.office import Office, place_of
from node.web.trail_notes import audit_search, audit_view
from schemas.codes import CaseType
from schemas.hlc import reading_ms
from schemas.ids import event_hlc
from sync.errors import StoreError

log = logging.getLogger(__name__)
# Whoever reads the trail need not be one who may open numbers of identity papers.
_IDENTITY_NUMBER: Final = re.compile(r"[0-9](?:[ .-]?[0-9]){7,}")


async def read_today(call: Call) -> Today:
    """Return what needs somebody today."""
    await audit_view(call, "today.read")
    place = place_of(call.office)
    return await call.office.read(lambda db: today(db, place))


async def read_cases(call: Call) -> CasePage:
    """Return a page of cases; a list is one look, whoever stands in it."""
    wanted, place = call.ask(CaseFilter), place_of(call.office)
    if wanted.text:
        await audit_search(call, "case.search", _IDENTITY_NUMBER.sub("•••", wanted.text))
    else:
        await audit_view(call, "case.list")
    since_ms = yesterday_ms(place)
    return await call.office.read(lambda db: list_cases(db, place, wanted, since_ms=since_ms))


@dataclass(frozen=True, slots=True)
class _Live:
    """What only the writer thread can tell about a case."""

    standing: CaseStanding
    heads: list[str]


async def read_case(call: Call) -> CaseAnswer:
    """Return a case with all that is known about it here; the look is noted in the audit trail."""
    case, office, me = call.part("id"), call.office, call.me
    place = place_of(office)

    def look(now_ms: int) -> _Live:
        note_view(office.accounts.db, me, now_ms, "case.read", case)
        return _Live(office.desk.standing(case), office.desk.heads(case))

    try:
        live = await office.write(look)
    except StoreError as error:
        if error.code != "disk_full":
            raise
        # A full disk must not hide the cases; what nobody can write down is at least in the log.
        log.error("audit not written", extra={"user": call.me.user, "document": case[:8]})
        live = _Live(CaseStanding(), [])
    # Read after the heads: what comes in between then shows as a rival of an edit, never as lost.
    file = await office.read(lambda db: case_file(db, place, case))
    if file is None:
        raise not_found()
    names = await office.read(lambda db: office_names(db, place.own))
    same = await office.read(lambda db: same_papers(db, case))
    standing = live.standing
    sealed = file.line.case_type == CaseType.DENUNCIATION
    return CaseAnswer(
        file=file,
        allowed_events=(
            allowed_events(standing, me.role, office.tier) if me.may("case.act") else []
        ),
        branches=[_branch(branch) for branch in standing.in_conflict],
        tips=list(standing.tips),
        heads=live.heads,
        closing_reasons=sorted(CLOSING_REASONS.get(standing.state, ())),
        traits=_traits(standing, office),
        offices=[OfficeName(code=code, name=name) for code, name in sorted(names.items())],
        online=online_reception(file.line.case_type, place.today),
        representatives=representatives(file.group_count, place.today),
        can_edit=me.may("document.edit"),
        can_attach=me.may("attachment.add") and not sealed,
        can_direct=me.may("directive.issue"),
        can_reveal=me.may("person.identity"),
        same_papers=same,
    )


def _traits(standing: CaseStanding, office: Office) -> dict[str, str | int | bool]:
    remote = standing.remote
    if standing.classified_on is None:
        remote = office.config.is_remote
    return {
        "case_type": (standing.effective_type or CaseType.COMPLAINT).value,
        "instance": standing.instance,
        "within_authority": standing.within_authority,
        "complex": standing.complex,
        "especially_complex": standing.especially_complex,
        "remote": remote,
        "multi_place": standing.multi_place,
    }


def _branch(branch: Branch) -> BranchView:
    fact = branch.fact
    return BranchView(
        event_id=branch.tip,
        type=fact.event.type,
        body=fact.event.model_dump(mode="json", exclude_defaults=True),
        state=branch.state.value,
        at_ms=reading_ms(event_hlc(fact.id)),
        name=fact.writer.name,
        role=fact.writer.role,
        office=fact.writer.code,
    )


async def act(call: Call) -> Events:
    """Record one event on a case, after its guards."""
    case, asked, office = call.part("id"), call.take(CaseAction), call.office

    def work(now_ms: int) -> Events:
        ids = office.desk.act(call.author, case, asked, now_ms)
        event = str(asked.event.get("type", ""))[:60]
        note(office.accounts.db, call.me, now_ms, "case.act", case, event)
        return Events(event_ids=list(ids))

    return await call.change(Events, work)


async def split(call: Call) -> Cases:
    """Split a case of several contents into one case each."""
    case, asked, office = call.part("id"), call.take(SplitCase), call.office

    def work(now_ms: int) -> Cases:
        ids = office.desk.split(call.author, case, asked, now_ms)
        note(office.accounts.db, call.me, now_ms, "case.split", case)
        return Cases(case_ids=list(ids))

    return await call.change(Cases, work)


async def read_document(call: Call) -> DocumentAnswer:
    """Return what can be edited of a document, with the version it is read at."""
    document, office = call.part("id"), call.office

    def look(now_ms: int) -> list[str]:
        note_view(office.accounts.db, call.me, now_ms, "document.read", document)
        return office.desk.heads(document)

    # The heads come first: an edit in between then shows as a rival, never as lost.
    heads = await office.write(look)
    fields = await office.read(lambda db: document_fields(db, document))
    if fields is None:
        raise not_found()
    return DocumentAnswer(document=fields, heads=heads)


async def edit(call: Call) -> Done:
    """Set fields and texts; what others changed meanwhile stays beside as a rival value."""
    document, asked, office = call.part("id"), call.take(EditFields), call.office

    def work(now_ms: int) -> Done:
        office.desk.edit(call.author, document, asked, now_ms)
        names = " ".join(sorted([*asked.fields, *asked.texts]))
        note(office.accounts.db, call.me, now_ms, "document.edit", document, names)
        return Done()

    return await call.change(Done, work)


async def read_sync(call: Call) -> DocumentSync:
    """Return who holds a document."""
    document, tier = call.part("id"), call.office.tier
    at_ms = await call.office.read(lambda db: changed_ms(db, document))
    if at_ms is None:
        raise not_found()
    states = await call.office.read(lambda db: sync_states(db, tier, [document]))
    return DocumentSync(id=document, sync=states[document], changed_ms=at_ms)


async def reveal_identity(call: Call) -> IdentityAnswer:
    """Open the sealed number of a person's identity paper; noted in the audit trail."""
    person, office = call.part("id"), call.office

    def work(now_ms: int) -> IdentityAnswer:
        number = office.desk.reveal(person, "identity_number")
        note(office.accounts.db, call.me, now_ms, "person.identity", person)
        return IdentityAnswer(number=number)

    return await office.write(work)


async def open_reference(call: Call) -> ReferenceAnswer:
    """Open the sealed reference of a denunciation; noted in the audit trail."""
    case, office = call.part("id"), call.office

    def work(now_ms: int) -> ReferenceAnswer:
        reference = office.desk.reveal(case, "sealed_ref")
        note(office.accounts.db, call.me, now_ms, "envelope.open", case)
        return ReferenceAnswer(reference=reference)

    return await office.write(work)
