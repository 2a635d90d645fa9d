"""Each guard refuses what it is there for, says what is possible instead, and lets the rest pass.

Method: one case for each code; the fold must come to the same verdict about an event from elsewhere
where the facts alone can tell.
"""

from datetime import date

import pytest

from crypto.identity import NodeKey
from crypto.seal import seal, to_text
from node.cases.errors import GuardError
from node.cases.guards import allowed_events, check
from node.cases.rights import RIGHTS, may_record
from schemas import events as ev
from schemas.codes import (
    CaseType,
    Channel,
    ClosingReason,
    IdentityType,
    RefusalGround,
    Role,
    Tier,
)
from schemas.event_text import CaseEvent, KnownEvent, event_models
from schemas.events import StateEvent
from tests.cases.histories import (
    ACCEPTANCE,
    DIGEST,
    OTHER,
    PERSON,
    RECEPTION,
    SETTLEMENT,
    THIRD,
    History,
    by_post,
    classified,
    closed,
    decided,
    received,
    writer,
)

OUTSIDE = by_post(CaseType.DENUNCIATION, within_authority=False)
COMPLAINT_OUTSIDE = by_post(CaseType.COMPLAINT, within_authority=False)
SENT = ev.Transferred(to_office="Thanh tra tỉnh", to_code="40")
BACK = ev.TransferReturned(reason="không đúng thẩm quyền")
SEALED = to_text(seal(b"TC-9", [NodeKey.from_seed(bytes(32)).office_public], b""))
ENVELOPE = {"sealed_ref": SEALED, "envelope_number": "PB-9"}
FILE = ev.Attached(sha256=DIGEST, size_bytes=1, name="đơn.pdf", media_type="application/pdf")


def refusal(
    before: tuple[KnownEvent, ...],
    event: KnownEvent,
    *,
    fields: dict[str, object] | None = None,
    role: Role = Role.COMMUNE_CHAIR,
    tier: Tier = Tier.COMMUNE,
) -> GuardError:
    with pytest.raises(GuardError) as caught:
        check(
            History(*before).standing(),
            event,
            fields=fields or {},
            writer_role=role,
            writer_tier=tier,
        )
    return caught.value


def passes(
    before: tuple[KnownEvent, ...],
    event: KnownEvent,
    *,
    fields: dict[str, object] | None = None,
    role: Role = Role.COMMUNE_CHAIR,
    tier: Tier = Tier.COMMUNE,
) -> None:
    check(
        History(*before).standing(),
        event,
        fields=fields or {},
        writer_role=role,
        writer_tier=tier,
    )


FACTUAL: dict[str, tuple[tuple[KnownEvent, ...], CaseEvent, Role, Tier]] = {
    "transition_illegal": (RECEPTION, decided(), Role.COMMUNE_CHAIR, Tier.COMMUNE),
    "only_split": (
        by_post(CaseType.SEVERAL_CONTENTS),
        ev.AcceptanceProposed(),
        Role.COMMUNE_CHAIR,
        Tier.COMMUNE,
    ),
    "role_not_allowed": (
        (*by_post(CaseType.COMPLAINT), *ACCEPTANCE, *SETTLEMENT[:2]),
        decided(),
        Role.PETITION_OFFICER,
        Tier.COMMUNE,
    ),
    "out_of_authority": (
        COMPLAINT_OUTSIDE,
        ev.AcceptanceProposed(),
        Role.COMMUNE_CHAIR,
        Tier.COMMUNE,
    ),
    "within_authority": (
        by_post(CaseType.COMPLAINT),
        ev.Guided(to_office="Sở Xây dựng"),
        Role.COMMUNE_CHAIR,
        Tier.COMMUNE,
    ),
    "transferred_already": (
        (*OUTSIDE, SENT, BACK, OUTSIDE[1]),
        ev.Transferred(to_office="Sở Nội vụ"),
        Role.COMMUNE_CHAIR,
        Tier.COMMUNE,
    ),
    "refusal_needs_head": (
        RECEPTION[:2],
        ev.RefusedReception(
            ground=RefusalGround.SETTLED_PERSISTS, reason="đã giải quyết", notice=DIGEST
        ),
        Role.RECEPTION_LEAD,
        Tier.COMMUNE,
    ),
    "refusal_needs_notice": (
        RECEPTION[:2],
        ev.RefusedReception(ground=RefusalGround.SETTLED_PERSISTS, reason="đã giải quyết"),
        Role.COMMUNE_CHAIR,
        Tier.COMMUNE,
    ),
    "class_fixed": (
        (*by_post(CaseType.COMPLAINT), *ACCEPTANCE),
        classified(instance=2),
        Role.COMMUNE_CHAIR,
        Tier.COMMUNE,
    ),
    "split_needs_children": (
        by_post(CaseType.SEVERAL_CONTENTS),
        ev.Split(children=(OTHER, OTHER)),
        Role.COMMUNE_CHAIR,
        Tier.COMMUNE,
    ),
    "closing_needs_document": (
        (*COMPLAINT_OUTSIDE, ev.Guided(to_office="Sở Xây dựng")),
        ev.Closed(reason=ClosingReason.GUIDED),
        Role.COMMUNE_CHAIR,
        Tier.COMMUNE,
    ),
    "closing_reason_unfit": (
        (*COMPLAINT_OUTSIDE, ev.Guided(to_office="Sở Xây dựng")),
        closed(ClosingReason.SETTLED),
        Role.COMMUNE_CHAIR,
        Tier.COMMUNE,
    ),
    "reopen_ground_unfit": (
        (
            *COMPLAINT_OUTSIDE,
            ev.Guided(to_office="Sở Xây dựng"),
            closed(ClosingReason.GUIDED),
        ),
        ev.Reopened(ground="coerced_withdrawal", reason="bị ép"),
        Role.COMMUNE_CHAIR,
        Tier.COMMUNE,
    ),
}


@pytest.mark.parametrize("code", FACTUAL)
def test_a_guard_refuses_here_and_the_fold_refuses_the_same_from_elsewhere(code: str) -> None:
    before, event, role, tier = FACTUAL[code]
    error = refusal(before, event, role=role, tier=tier)
    assert error.code == code
    assert error.message
    assert error.hint or error.possible
    history = History(*before)
    history.add(event, by=writer(role, tier))
    assert [item.code for item in history.standing().refused] == [code]


def test_a_wrong_step_is_told_what_is_possible_now() -> None:
    error = refusal(RECEPTION, decided())
    assert error.possible == ("classified", "closed")
    assert "readback_confirmed; possible now: classified, closed" in error.message
    nothing = refusal((), decided())
    assert nothing.possible == ("received",)


@pytest.mark.parametrize(
    "event",
    [
        SENT,
        ev.Transferred(to_office=" thanh  tra TỈNH "),
        ev.Guided(to_office="Thanh tra tỉnh"),
    ],
)
def test_a_case_never_goes_to_its_respondent(event: CaseEvent) -> None:
    fields: dict[str, object] = {"respondent_code": "40", "respondent_name": "Thanh tra tỉnh"}
    assert refusal(COMPLAINT_OUTSIDE, event, fields=fields).code == "to_respondent"
    passes(COMPLAINT_OUTSIDE, event, fields={"respondent_code": "40.2"})


def test_a_case_is_never_assigned_to_its_respondent() -> None:
    assigned = ev.Assigned(to_office="UBND xã", to_code="40.17")
    before = by_post(CaseType.RECOMMENDATION)
    fields: dict[str, object] = {"respondent_code": "40.17"}
    assert refusal(before, assigned, fields=fields).code == "to_respondent"
    passes(before, assigned)


def test_a_denunciation_is_accepted_only_with_envelope_and_reference() -> None:
    before = (*by_post(CaseType.DENUNCIATION), ACCEPTANCE[0])
    for missing in ENVELOPE:
        fields: dict[str, object] = {k: v for k, v in ENVELOPE.items() if k != missing}
        error = refusal(before, ACCEPTANCE[1], fields=fields)
        assert error.code == "denunciation_needs_envelope"
        assert missing in error.message
    passes(before, ACCEPTANCE[1], fields=dict(ENVELOPE))
    passes((*by_post(CaseType.COMPLAINT), ACCEPTANCE[0]), ACCEPTANCE[1])


@pytest.mark.parametrize(
    "event",
    [ev.PersonJoined(person=PERSON), ev.GroupLinked(group=OTHER), FILE, ev.Noted(text="ai viết")],
)
def test_nothing_that_names_a_denouncer_enters(event: KnownEvent) -> None:
    assert refusal(by_post(CaseType.DENUNCIATION), event).code == "denunciation_identity"
    assert refusal((received(CaseType.DENUNCIATION),), event).code == "denunciation_identity"
    passes(by_post(CaseType.COMPLAINT), event)


def test_a_denunciation_holds_no_telling_field_and_no_link_to_a_case_with_people() -> None:
    error = refusal((), received(CaseType.DENUNCIATION), fields={"title": "Ông A tố cáo"})
    assert error.code == "denunciation_identity"
    assert "title" in error.message
    error = refusal((), received(CaseType.DENUNCIATION, parent=OTHER))
    assert error.code == "denunciation_linked"
    passes((), received(CaseType.DENUNCIATION, visit=OTHER), fields=dict(ENVELOPE))


@pytest.mark.parametrize(
    ("before", "event"),
    [
        (OUTSIDE[:1], classified(CaseType.DENUNCIATION, note="anh B viết")),
        (
            (*by_post(CaseType.DENUNCIATION), *ACCEPTANCE),
            ev.Withdrawn(scope="full", content="bà C rút"),
        ),
        (
            (*by_post(CaseType.DENUNCIATION), *ACCEPTANCE, *SETTLEMENT),
            ev.Handled(note="đã gửi bà C"),
        ),
    ],
)
def test_a_denunciation_takes_no_free_text_that_the_law_does_not_ask_for(
    before: tuple[KnownEvent, ...], event: CaseEvent
) -> None:
    assert refusal(before, event).code == "denunciation_free_text"


@pytest.mark.parametrize(
    ("extra", "fields", "held"),
    [
        ((ev.PersonJoined(person=PERSON),), {}, "people"),
        ((ev.GroupLinked(group=OTHER),), {}, "groups"),
        ((FILE,), {}, "attachments"),
        ((ev.Noted(text="gặp ở chợ"),), {}, "notes"),
        ((), {"title": "Về việc ông A"}, "title"),
    ],
)
def test_a_case_that_names_people_does_not_become_a_denunciation(
    extra: tuple[KnownEvent, ...], fields: dict[str, object], held: str
) -> None:
    before = (*RECEPTION, *extra)
    error = refusal(before, classified(CaseType.DENUNCIATION), fields=fields)
    assert error.code == "denunciation_identity_present"
    assert held in error.message
    assert "new denunciation" in error.hint
    passes(before, closed(ClosingReason.DUPLICATE), fields=fields)


def test_a_case_that_names_nobody_may_turn_out_to_be_a_denunciation() -> None:
    before = (received(channel=Channel.POST),)
    passes(before, classified(CaseType.DENUNCIATION), fields={"register_number": "12", "title": ""})


def test_what_only_looked_like_a_denunciation_is_classified_as_what_it_is() -> None:
    before = (received(CaseType.DENUNCIATION, channel=Channel.POST),)
    passes(before, classified(CaseType.COMPLAINT, note="thực chất là khiếu nại"))
    passes((*before, classified()), ev.PersonJoined(person=PERSON))


def test_the_head_refuses_with_a_notice_and_an_officer_for_other_grounds() -> None:
    notice = ev.RefusedReception(
        ground=RefusalGround.SETTLED_PERSISTS, reason="đã giải quyết", notice=DIGEST
    )
    passes(RECEPTION[:2], notice)
    other = ev.RefusedReception(ground=RefusalGround.UNABLE, reason="say rượu")
    passes(RECEPTION[:2], other, role=Role.RECEPTION_OFFICER)


def test_the_traits_of_an_accepted_case_may_still_change() -> None:
    before = (*by_post(CaseType.COMPLAINT), *ACCEPTANCE)
    passes(before, classified(complex=True), role=Role.RECEPTION_OFFICER)


def test_a_conflict_is_settled_before_anything_else() -> None:
    history = History(*by_post(CaseType.COMPLAINT), ACCEPTANCE[0])
    base = history.last
    chosen = history.add(ACCEPTANCE[1], after=base)
    history.add(ev.NotAccepted(reason="hết thời hiệu"), after=base)
    standing = history.standing()

    def attempt(event: KnownEvent, role: Role = Role.COMMUNE_CHAIR) -> None:
        check(standing, event, fields={}, writer_role=role, writer_tier=Tier.COMMUNE)

    for event, role, code in (
        (ev.VerificationStarted(), Role.COMMUNE_CHAIR, "case_in_conflict"),
        (ev.Settled(chosen=base[0], reason="x"), Role.COMMUNE_CHAIR, "settled_unknown"),
        (ev.Settled(chosen=chosen, reason="x"), Role.PETITION_OFFICER, "role_not_allowed"),
    ):
        with pytest.raises(GuardError) as caught:
            attempt(event, role)
        assert caught.value.code == code
    attempt(ev.Settled(chosen=chosen, reason="x"))
    attempt(ev.Noted(text="đã gọi điện"))
    assert allowed_events(standing, Role.COMMUNE_CHAIR, Tier.COMMUNE) == ["settled"]
    assert allowed_events(standing, Role.PETITION_OFFICER, Tier.COMMUNE) == []


def test_without_a_conflict_there_is_nothing_to_settle() -> None:
    event = ev.Settled(chosen="0" * 24, reason="x")
    assert refusal(RECEPTION, event).code == "nothing_to_settle"


def test_events_of_other_documents_do_not_belong_in_a_case() -> None:
    event = ev.VisitHeld(on=date(2026, 9, 1))
    assert refusal(RECEPTION, event).code == "event_not_for_case"


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.NODE_ADMIN])
def test_who_only_looks_records_nothing(role: Role) -> None:
    assert not any(may_record(name, role, Tier.COMMUNE) for name in RIGHTS)
    standing = History(*RECEPTION).standing()
    assert allowed_events(standing, role, Tier.COMMUNE) == []


def test_a_role_of_one_tier_has_no_say_at_another() -> None:
    assert may_record("decided", Role.PROVINCIAL_CHAIR, Tier.PROVINCE)
    assert not may_record("decided", Role.PROVINCIAL_CHAIR, Tier.COMMUNE)
    assert not may_record("decided", Role.COMMUNE_CHAIR, Tier.PROVINCE)
    assert may_record("received", Role.RECORDS_CLERK, Tier.PROVINCE)


def test_every_event_of_a_case_has_its_roles() -> None:
    models = event_models()
    wanted = {name for name, model in models.items() if issubclass(model, StateEvent)}
    assert wanted <= set(RIGHTS) <= set(models)


@pytest.mark.parametrize(
    ("before", "there", "absent"),
    [
        ((), {"received"}, {"noted", "registered"}),
        (RECEPTION, {"classified", "person_joined", "noted"}, {"decided"}),
        (by_post(CaseType.COMPLAINT), {"acceptance_proposed"}, {"guided", "transferred"}),
        (COMPLAINT_OUTSIDE, {"guided", "transferred"}, {"acceptance_proposed"}),
        (OUTSIDE, {"transferred"}, {"noted", "attached", "person_joined"}),
        ((*OUTSIDE, SENT, BACK, OUTSIDE[1]), {"classified"}, {"transferred"}),
    ],
)
def test_the_buttons_show_what_can_be_done(
    before: tuple[KnownEvent, ...], there: set[str], absent: set[str]
) -> None:
    shown = set(allowed_events(History(*before).standing(), Role.COMMUNE_CHAIR, Tier.COMMUNE))
    assert there <= shown
    assert not absent & shown


def test_the_identity_check_is_no_step_of_a_denunciation() -> None:
    before = (received(CaseType.DENUNCIATION), ev.Registered())
    event = ev.IdentityChecked(identity_type=IdentityType.CITIZEN_CARD)
    assert refusal(before, event).code == "transition_illegal"


def test_splitting_names_the_cases_it_makes() -> None:
    passes(by_post(CaseType.SEVERAL_CONTENTS), ev.Split(children=(OTHER, THIRD)))
