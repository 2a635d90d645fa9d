"""Goal: a history that no office would write keeps nobody busy and hides nothing.

Method: hundreds of classifications that cannot all stand, made apart from each other.
"""

import random
import time

from node.cases.fold import fold
from schemas import events as ev
from schemas.codes import CaseType, Channel
from tests.cases.histories import RECEIVED_ON, History, writer

_TYPES = (CaseType.COMPLAINT, CaseType.RECOMMENDATION, CaseType.REFLECTION)


def _crowd(count: int) -> History:
    """Return a case that so many people classified apart, each in another way."""
    history = History(
        ev.Received(
            on=RECEIVED_ON, stated_type=CaseType.COMPLAINT, channel=Channel.POST, written=True
        ),
        ev.Registered(),
    )
    start = history.last
    for number in range(count):
        event = ev.Classified(
            case_type=_TYPES[number % 3],
            instance=1 if number & 1 else 2,
            complex=bool(number & 2),
            remote=bool(number & 4),
            multi_place=bool(number & 8),
            especially_complex=bool(number & 16),
        )
        history.add(event, after=start)
    return history


def test_a_crowd_of_rivals_is_folded_at_once_and_the_same_in_any_order() -> None:
    history = _crowd(200)
    tips = [fact.id for fact in history.facts[2:]]
    for _ in range(200):
        history.add(ev.Filed(), after=tips)
    began = time.monotonic()
    standing = fold(history.facts)
    assert time.monotonic() - began < 3
    assert 2 <= len(standing.in_conflict) <= 8
    shuffled = list(history.facts)
    random.Random(1).shuffle(shuffled)
    assert fold(shuffled) == standing


def test_a_denunciation_in_a_crowd_keeps_the_case_sealed() -> None:
    history = _crowd(100)
    start = (history.facts[1].id,)
    history.add(ev.Classified(case_type=CaseType.DENUNCIATION), after=start)
    assert fold(history.facts).is_sealed


def test_a_crowd_is_settled_by_one_choice() -> None:
    history = _crowd(100)
    standing = fold(history.facts)
    chosen = standing.in_conflict[0].tip
    history.add(ev.Settled(chosen=chosen, reason="Đúng"), after=standing.tips, by=writer())
    settled = fold(history.facts)
    assert settled.in_conflict == ()
    assert settled.case_type is not None
