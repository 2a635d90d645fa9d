"""Visits: the whole form in one request, the list, and drafts of the form."""

from pydantic import BaseModel, ConfigDict, Field

from node.queries.drafts import find_draft, list_drafts
from node.queries.facts import Draft, VisitPage
from node.queries.files import list_visits
from node.registration import register_visit
from node.requests import RegisterVisit
from node.trail import note, note_view
from node.web.answers import Done, DraftBody, DraftList, VisitMade
from node.web.calls import Call
from node.web.errors import WebError, not_found
from node.web.office import place_of
from node.web.records import drop_draft, keep_draft
from node.web.trail_notes import audit_view

DRAFTS_PER_USER_MAX = 50
# Two hundred pages of text; no form that a person fills in comes near.
DRAFT_BYTES_MAX = 512 << 10


class VisitFilter(BaseModel):
    """Which visits the list shows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after: str = Field(default="", pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2}:[0-9a-f-]{36})?$")
    size: int = Field(default=50, ge=1, le=200)


async def register(call: Call) -> VisitMade:
    """Register a visit with its people and petitions; all of it is durable, or nothing."""
    asked, office = call.take(RegisterVisit), call.office

    def work(now_ms: int) -> VisitMade:
        made = register_visit(office.desk, call.author, asked, now_ms)
        note(office.accounts.db, call.me, now_ms, "visit.register", made.visit_id)
        return VisitMade(
            visit_id=made.visit_id,
            people_ids=list(made.people_ids),
            petition_ids=list(made.petition_ids),
            case_ids=list(made.case_ids),
        )

    return await call.change(VisitMade, work)


async def read_visits(call: Call) -> VisitPage:
    """Return visits, newest first."""
    await audit_view(call, "visit.list")
    wanted, place = call.ask(VisitFilter), place_of(call.office)
    return await call.office.read(lambda db: list_visits(db, place, wanted.after, wanted.size))


async def read_drafts(call: Call) -> DraftList:
    """Return the own drafts, newest first."""
    user = call.me.user
    return DraftList(drafts=await call.office.read(lambda db: list_drafts(db, user)))


async def read_draft(call: Call) -> Draft:
    """Return one of the own drafts."""
    user, draft = call.me.user, call.part("id")
    found = await call.office.read(lambda db: find_draft(db, user, draft))
    if found is None:
        raise not_found()
    await audit_view(call, "draft.read")
    return found


async def save_draft(call: Call) -> Done:
    """Keep a form that was begun; numbers of identity papers are left out."""
    asked, draft, office, user = call.take(DraftBody), call.part("id"), call.office, call.me.user

    if len(call.content) > DRAFT_BYTES_MAX:
        raise WebError(
            "draft_too_long",
            413,
            f"A draft has at most {DRAFT_BYTES_MAX >> 10} KiB.",
            "Register what is done, and enter the rest as a further visit.",
        )

    def work(now_ms: int) -> bool:
        drafts = list_drafts(office.accounts.db, user)
        if len(drafts) >= DRAFTS_PER_USER_MAX and all(known.id != draft for known in drafts):
            raise WebError(
                "drafts_too_many",
                409,
                f"You have {len(drafts)} drafts already.",
                "Finish or delete one of them.",
            )
        is_sealed = keep_draft(office.accounts.db, user, draft, asked.body, now_ms)
        note_view(office.accounts.db, call.me, now_ms, "draft.keep")
        return is_sealed

    if await office.write(work):
        await office.fold_log()
    return Done()


async def delete_draft(call: Call) -> Done:
    """Throw a draft away."""
    draft, office, user = call.part("id"), call.office, call.me.user

    def work(now_ms: int) -> Done:
        drop_draft(office.accounts.db, user, draft)
        note(office.accounts.db, call.me, now_ms, "draft.drop")
        return Done()

    done = await office.write(work)
    await office.fold_log()
    return done
