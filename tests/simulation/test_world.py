"""Goal: a world that overlooks a broken promise proves nothing, so each check is seen to fail.

Method: one fault is put into the product, by hand and for the length of one test; the stories must
find it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from node.slots import Slots
from node.turns import Turns
from schemas.wire import Ack, Message
from sync import intake, pack, replica, sender
from sync.inbound import Inbound
from sync.inflow import Inflow
from sync.receiver import Receiver
from sync.replica import Replica
from sync.store import Store
from tests.simulation.identities import PLACES
from tests.simulation.plans import draw_plan
from tests.simulation.promises import BrokenPromise
from tests.simulation.world import World
from tests.simulation.writer import SimulatedWriter


def forgets_leaves(patch: pytest.MonkeyPatch) -> None:
    """Acknowledge frames without keeping all of them."""
    keep = Inbound.keep

    def lose(self: Inbound, log: Any, first_seq: int, leaves: Sequence[bytes]) -> None:
        keep(self, log, first_seq, leaves[:-1] if len(leaves) > 1 else leaves)

    patch.setattr(Inbound, "keep", lose)


def boasts(patch: pytest.MonkeyPatch) -> None:
    """Acknowledge one leaf more than arrived."""
    honest = Receiver._ack

    def boast(self: Receiver, incoming: Any, log: Any) -> Ack:
        ack = honest(self, incoming, log)
        return Ack(
            log=ack.log,
            have_seq=ack.have_seq + 1,
            gaps=ack.gaps,
            cosignatures=ack.cosignatures,
        )

    patch.setattr(Receiver, "_ack", boast)


def tells_the_neighbour(patch: pytest.MonkeyPatch) -> None:
    """Send every document down to every child."""
    patch.setattr(replica, "containing", lambda codes: {code for code, _ in PLACES})


def keeps_back(patch: pytest.MonkeyPatch) -> None:
    """Send nothing down."""
    patch.setattr(Replica, "_send_down", lambda *_: None)


def boasts_by_boat(patch: pytest.MonkeyPatch) -> None:
    """Acknowledge one leaf more than there is in a pack."""
    honest = pack._answers

    def boast(replica: Replica, log: Any) -> Iterator[Message]:
        for answer in honest(replica, log):
            if isinstance(answer, Ack):
                answer = replace(answer, have_seq=answer.have_seq + 1)
            yield answer

    patch.setattr(pack, "_answers", boast)


def drops_what_waits(patch: pytest.MonkeyPatch) -> None:
    """Never look again at a change that waited."""
    patch.setattr(intake.Intake, "_wake", lambda self, document, arrived: None)


def sends_once_only(patch: pytest.MonkeyPatch) -> None:
    """Never send again what was lost."""
    patch.setattr(sender, "has_passed", lambda span, since, now: False)


def doubles(patch: pytest.MonkeyPatch) -> None:
    """Append a change to the up log twice."""
    append = Replica._append

    def twice(self: Replica, log: Any, leaf: bytes, now_ms: int) -> int:
        seq = append(self, log, leaf, now_ms)
        if log.purpose == "up" and log.size % 7 == 0:
            append(self, log, leaf, now_ms)
        return seq

    patch.setattr(Replica, "_append", twice)


def commits_nothing(patch: pytest.MonkeyPatch) -> None:
    """Tell the user that it is safe, and roll back now and then."""
    flush = Store._flush
    calls = iter(range(1_000_000))

    def forget(self: Store) -> None:
        flush(self)
        if next(calls) % 50 == 49:
            self.db.execute("ROLLBACK")
            self.db.execute("BEGIN")

    patch.setattr(Store, "_flush", forget)


def mixes_up_messages(patch: pytest.MonkeyPatch) -> None:
    """Hand on the messages of a datagram link in another order than they were put."""
    take = Inflow.take

    def mix(self: Inflow) -> bytes | None:
        for arriving in self._streams:
            arriving._ready.reverse()
        return take(self)

    patch.setattr(Inflow, "take", mix)


def breaks_turns(patch: pytest.MonkeyPatch) -> None:
    """Tell children when to come, and to wait again when they do."""
    ask = Slots.ask

    def put_off(self: Slots, child: bytes, now_s: float) -> float:
        is_told = child in self._turns
        return max(ask(self, child, now_s), 5.0 if is_told else 0.0)

    patch.setattr(Slots, "ask", put_off)


def serves_the_last(patch: pytest.MonkeyPatch) -> None:
    """Work for whoever came last, and let the others wait."""

    def last(self: Turns[Any, Any]) -> tuple[Any, Any]:
        return self._waiting.pop(max(range(len(self._waiting)), key=self._waiting.__getitem__))[2:]

    patch.setattr(Turns, "next", last)


# How many stories, of those that `scripts/simulate` tells, it took to find each fault three times:
# whoever makes stories cheaper must not make them blind.
FOUND_WITHIN: Final = (
    (forgets_leaves, 3),
    (boasts, 3),
    (boasts_by_boat, 36),
    (tells_the_neighbour, 3),
    (keeps_back, 3),
    (drops_what_waits, 15),
    (sends_once_only, 40),
    (doubles, 3),
    (commits_nothing, 3),
    (mixes_up_messages, 3),
    (breaks_turns, 18),
)


@pytest.mark.parametrize(
    ("fault", "stories"), FOUND_WITHIN, ids=[fault.__name__ for fault, _ in FOUND_WITHIN]
)
def test_the_world_finds(
    fault: Callable[[pytest.MonkeyPatch], None],
    stories: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    fault(monkeypatch)
    with pytest.raises(BrokenPromise):
        tell_stories(stories, tmp_path)


def tell_stories(count: int, folder: Path) -> None:
    for seed in range(count):
        world = World(seed, folder / str(seed), draw_plan(seed))
        try:
            world.run()
        finally:
            world.close()


def work_without_end(owners: int) -> None:
    """Let links want the writer again as soon as they had it."""
    now_ms = 0
    events: list[tuple[int, Callable[[], None]]] = []
    writer = SimulatedWriter(
        lambda delay_ms, action: events.append((now_ms + delay_ms, action)), lambda: now_ms
    )

    def want(owner: bytes) -> int:
        events.append((now_ms, lambda: writer.run_for(owner, lambda: want(owner))))
        return 10

    for number in range(owners):
        want(bytes([number]))
    for _ in range(200):
        now_ms, action = events.pop(min(range(len(events)), key=lambda at: events[at][0]))
        action()


def test_a_link_that_the_writer_lets_wait_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    work_without_end(4)
    serves_the_last(monkeypatch)
    with pytest.raises(BrokenPromise, match="starved"):
        work_without_end(4)
