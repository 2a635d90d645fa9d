"""Goal: with a minute of poor line an hour, each minute leaves less to carry, until all is there.

Method: the line takes 64 kbit/s with 600 ms there and back and loses 30 of 100 messages; what waits
would take several minutes without any loss. That the check can fail is seen from receivers that
start over.
"""

import hashlib
import random
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest

from node.choice import Way
from schemas import events as ev
from schemas.codes import DocumentKind
from schemas.ids import mint_document_id
from schemas.wire import Offer
from sync.blobs import BlobExchange
from sync.incoming import Incoming
from sync.log import Log
from sync.receiver import Receiver
from tests.simulation.checks import check_all
from tests.simulation.ledger import Ledger
from tests.simulation.lines import PACKETS, STREAM, backlog_bytes, catch_up
from tests.simulation.plans import MINUTE_MS, SECOND_MS, Plan
from tests.simulation.promises import BrokenPromise
from tests.simulation.quality import PERFECT
from tests.simulation.staff import Pen
from tests.simulation.world import World

_CENTRE, _PROVINCE, _COMMUNE = "0", "40", "40.17083"
# As node/exchange.py.
_PLAN: Final = Plan(places=(_CENTRE, _PROVINCE, _COMMUNE), tick_ms=5 * SECOND_MS)
_VISITS: Final = 80
_VISITS_CUT: Final = 20
_LETTERS: Final = 4_000
_SCAN_BYTES: Final = 400_000
_DUE_ON: Final = date(2026, 10, 30)
_HOURS_MAX: Final = 24
_CUT_EVERY_MS: Final = 12 * SECOND_MS
_WRITTEN_SMALL: Final = "aăâbcdđeêghiklmnoôơpqrstuưvxyàáảãạằắẳẵặầấẩẫậèéẻẽẹềếểễệìíỉĩị,. "


def a_long_statement(pen: Pen, rng: random.Random) -> None:
    """Write down what somebody said for half an hour."""
    pen.write(
        mint_document_id(pen.clock_ms, rng),
        kind=DocumentKind.VISIT,
        texts={"statement": "".join(rng.choices(_WRITTEN_SMALL, k=_LETTERS))},
    )


def a_long_directive(pen: Pen, rng: random.Random) -> None:
    """Tell the commune at length what to do."""
    pen.write(
        mint_document_id(pen.clock_ms, rng),
        kind=DocumentKind.DIRECTIVE,
        texts={"body": "".join(rng.choices(_WRITTEN_SMALL, k=_LETTERS))},
        events=[ev.DirectiveIssued(to_codes=(_COMMUNE,), due_on=_DUE_ON)],
    )


def a_scan(pen: Pen, rng: random.Random) -> None:
    """Attach a scan to a new petition."""
    data = rng.randbytes(_SCAN_BYTES)
    digest = hashlib.sha256(data).digest()
    pen.node.files.append(digest, data)
    pen.node.files.finish(digest)
    pen.node.replica.store.blob_arrived(digest, len(data))
    pen.write(
        mint_document_id(pen.clock_ms, rng),
        kind=DocumentKind.PETITION,
        events=[
            ev.Attached(
                sha256=digest.hex(),
                size_bytes=len(data),
                name="đơn.pdf",
                media_type="application/pdf",
            )
        ],
    )


def country_with_a_backlog(folder: Path, visits: int = _VISITS) -> World:
    """Return a commune and a province that met once and have much to tell each other since."""
    world = World(1, folder, _PLAN)
    world.start()
    commune, province = world.nodes[_COMMUNE], world.nodes[_PROVINCE]
    world.connect(commune, province, PERFECT)
    world.pass_time(MINUTE_MS)
    world.hang_up(commune)
    for _ in range(visits):
        world.act(commune, a_long_statement)
    world.act(commune, a_scan)
    for _ in range(visits // 4):
        world.act(province, a_long_directive)
    return world


@pytest.mark.parametrize("cut_every_ms", [0, _CUT_EVERY_MS], ids=["whole", "cut"])
@pytest.mark.parametrize("way", ["websocket", "datagrams"])
def test_a_minute_an_hour_of_a_line_that_loses_a_third_carries_everything_in_the_end(
    way: Way, cut_every_ms: int, tmp_path: Path
) -> None:
    # After each cut frames are packed anew, which takes more of the test's time than the line.
    world = country_with_a_backlog(tmp_path, _VISITS_CUT if cut_every_ms else _VISITS)
    commune, province = world.nodes[_COMMUNE], world.nodes[_PROVINCE]
    quality = STREAM if way == "websocket" else PACKETS
    left = catch_up(
        world, commune, province, quality, _HOURS_MAX, way=way, cut_every_ms=cut_every_ms
    )
    # More than one minute carries, or resuming was not seen.
    assert len(left) > 3, left
    assert world.counts["ill-timed"] > 2 * len(left) or not cut_every_ms
    assert backlog_bytes(commune, province) == 0
    world.heal()
    check_all(world.nodes, world.ledger, world.rng)
    world.close()


def forgets_leaves_without_a_head(patch: pytest.MonkeyPatch) -> None:
    """Begin each session with what heads cover."""
    honest = Receiver._greet

    def start_over(self: Receiver, log: Log, offer: Offer) -> Incoming:
        self._store.drop_pending(log)
        return honest(self, log, offer)

    patch.setattr(Receiver, "_greet", start_over)
    # It would tell of acknowledgements that are taken back, before anybody looks at what is left.
    patch.setattr(Ledger, "sends_ack", lambda self, node, log_id, ack: None)


def forgets_partial_files(patch: pytest.MonkeyPatch) -> None:
    """Begin each session without the beginnings of files."""
    honest = BlobExchange.__init__

    def start_over(self: BlobExchange, store: Any, files: Any, *others: Any) -> None:
        honest(self, store, files, *others)
        for part in files._folder.glob("*.part"):
            part.unlink()

    patch.setattr(BlobExchange, "__init__", start_over)


@pytest.mark.parametrize("fault", [forgets_leaves_without_a_head, forgets_partial_files])
def test_a_receiver_that_starts_over_is_found(
    fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fault(monkeypatch)
    world = country_with_a_backlog(tmp_path)
    with pytest.raises(BrokenPromise, match="backlog_stays"):
        catch_up(world, world.nodes[_COMMUNE], world.nodes[_PROVINCE], STREAM, _HOURS_MAX)
    world.close()
