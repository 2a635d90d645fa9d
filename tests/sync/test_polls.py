"""Goal: a link on which nothing changes costs next to nothing, also where there is no centre."""

from itertools import pairwise

from schemas.wire import Ack, Head
from sync.session import POLL_MS
from tests.sync.builders import Link, Node


def test_where_there_is_no_top_tier_it_is_asked_for_more_and_more_rarely(
    commune: Node, province: Node
) -> None:
    commune.open_case()
    link = Link(commune, province).run()
    asked_ms: list[int] = []
    begun_ms, sent = link.now_ms, len(link.sent)
    while link.now_ms < begun_ms + 2 * 86_400_000:
        link.now_ms += 60_000
        link.run()
        if any(isinstance(m, Head) for _, m in link.sent[sent:]):
            asked_ms.append(link.now_ms)
        sent = len(link.sent)
    waits = [later - earlier for earlier, later in pairwise(asked_ms)]
    assert waits[:3] == [2 * POLL_MS, 4 * POLL_MS, 8 * POLL_MS]
    assert max(waits) <= 6 * 3_600_000
    assert len(asked_ms) < 20
    commune.open_case(1)
    link.run()
    begun_ms = link.now_ms
    sent = len(link.sent)
    link.now_ms += POLL_MS
    link.run()
    assert [type(m) for _, m in link.sent[sent:]] == [Head, Ack], "for news it is asked soon"
