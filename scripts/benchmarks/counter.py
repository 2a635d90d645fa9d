"""Times at the counter: registering a visit, opening a case, searching, among very many cases.

A commune's running node without its sockets: what is asked goes through its writer thread, its
readers and the functions behind the API, and a registration counts until it is on the disk.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp.test_utils import make_mocked_request

from node.accounts import SignedIn
from node.app import Node
from node.clock import Clock
from node.folding import fold
from node.memory import keep_what_is_loaded
from node.queries.cases import CaseFilter, list_cases
from node.queries.offices import offices_below
from node.queries.sync_state import news_digest, waiting
from node.registration import register_visit
from node.requests import RegisterVisit
from node.samples.texts import Place
from node.samples.visits import Arrival, case_stream
from node.station import open_station
from node.trail import note
from node.web.api_cases import read_case
from node.web.calls import Call
from node.web.languages import choose
from node.web.office import place_of
from node.web.records import keep_answer
from schemas.codes import CaseState, CaseType, Role
from scripts.benchmarks.deeds import filled_form
from sync.replica import Author

_FILTERS: Final[tuple[dict[str, str], ...]] = (
    {},
    {"only": "open"},
    {"only": "overdue"},
    {"state": CaseState.DECIDED.value},
    {"case_type": CaseType.REFLECTION.value},
    {"order": "due"},
    {"only": "conflict"},
)
_PAGES: Final = 3
_WARM_UP: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterTimes:
    """Milliseconds of each measurement."""

    register: list[float]
    open: list[float]
    search: list[float]


def measure_counter(folder: Path, place: Place, rng: random.Random, *, rounds: int) -> CounterTimes:
    """Return how long each registration, opening and search took.

    Args:
        folder: of the commune's node, filled with cases.
        place: the commune.
        rng: source of visits and of what is opened and searched.
        rounds: registrations and openings; searches are three times as many.
    """
    return asyncio.run(_measure(folder, place, rng, rounds))


async def _measure(folder: Path, place: Place, rng: random.Random, rounds: int) -> CounterTimes:
    node = Node(open_station(folder, rng), Clock(), rng)
    keep_what_is_loaded()
    try:
        async with asyncio.TaskGroup() as group:
            folding = group.create_task(node.housekeeping.keep_folded())
            times = await _times(_Counter(node, place, rng), rounds)
            folding.cancel()
            return times
    finally:
        await node.close()


async def _times(counter: "_Counter", rounds: int) -> CounterTimes:
    # What is loaded at the first use is not what an office waits for every day.
    for form in counter.forms(_WARM_UP):
        await counter.register(form)
    return CounterTimes(
        register=[await counter.register(form) for form in counter.forms(rounds)],
        open=[await counter.open(case) for case in counter.cases(rounds)],
        search=[
            took for wanted in counter.searches(rounds) for took in await counter.search(wanted)
        ],
    )


class _Counter:
    """An officer at a node."""

    def __init__(self, node: Node, place: Place, rng: random.Random) -> None:
        self._node = node
        self._place = place
        self._rng = rng
        person = place.holder(Role.RECEPTION_OFFICER)
        self._me = SignedIn(
            user=person.user,
            name=person.name,
            role=person.role,
            device=node._station.replica.device,
            token="",
            csrf="",
            language="vi",
            needs_touch=False,
            must_change=False,
        )

    # Registering

    def forms(self, count: int) -> list[bytes]:
        """Return so many filled forms as a page sends them; every third has two petitions."""
        today = self._node.clock.today()
        forms = []
        for index, visit in enumerate(
            case_stream(self._rng, count, today=today, homes=[self._place])
        ):
            form = filled_form(visit, Arrival(place=self._place.seat))
            if index % 3 == 0 and not visit.story.is_sealed:
                form = form.model_copy(update={"petitions": form.petitions * 2})
            forms.append(form.model_dump_json(exclude_defaults=True).encode())
        return forms

    async def register(self, content: bytes) -> float:
        """Register a visit as POST /visits does; return milliseconds until it is durable."""
        db, me = self._node.accounts.db, self._me
        author = Author(user=me.user, name=me.name, role=me.role.value, device=me.device)
        key = f"bench {self._rng.getrandbits(64):x}"

        def work(now_ms: int) -> None:
            asked = RegisterVisit.model_validate_json(content)
            made = register_visit(self._node.desk, author, asked, now_ms)
            note(db, me, now_ms, "visit.register", made.visit_id)
            keep_answer(db, key, content, {"visit_id": made.visit_id}, now_ms)

        return await _timed(lambda: self._node.write(work))

    # Opening

    def cases(self, count: int) -> list[str]:
        """Return the ids of so many cases drawn from all."""
        db = self._node._station.connection
        last = db.execute("SELECT max(number) FROM cases").fetchone()[0]
        numbers = [self._rng.randint(1, last) for _ in range(count)]
        query = "SELECT id FROM cases WHERE number >= ? LIMIT 1"
        return [db.execute(query, (number,)).fetchone()[0] for number in numbers]

    async def open(self, case: str) -> float:
        """Read everything that the page of a case shows; return milliseconds."""
        node = self._node
        call = Call(
            office=node,
            request=make_mocked_request("GET", f"/cases/{case}", match_info={"id": case}),
            language=choose("vi"),
            operation="/cases/{id}",
            signed_in=self._me,
        )

        async def page() -> None:
            await node.read(news_digest)
            await read_case(call)
            await node.read(offices_below)
            await node.read(lambda db: waiting(db, node.tier))

        return await _timed(page)

    # Searching

    def searches(self, count: int) -> Iterator[CaseFilter]:
        """Yield what is searched: whole names, numbers, frequent words, words half typed."""
        db = self._node._station.connection
        for index, case in enumerate(self.cases(count)):
            row = db.execute(
                "SELECT title, people, register_number, commune FROM cases WHERE id = ?", (case,)
            ).fetchone()
            title, people = fold(row[0]).split(), fold(row[1]).split(",")[0]
            texts = (
                people,
                row[2],
                " ".join(title[:2]),
                " ".join(self._rng.sample(title, min(2, len(title)))),
                f"{people.split(' ')[0]} {''.join(title[-1:])}",
                "".join(title[:1]),
                (people.split(" ")[-1] or "xa")[:2],
                f"{' '.join(title[:3])} {people[:3]}",
            )
            text = texts[index % len(texts)].strip()
            filters = _FILTERS[index // len(texts) % len(_FILTERS)]
            yield CaseFilter.model_validate({"text": text or "dat", **filters})

    async def search(self, wanted: CaseFilter) -> list[float]:
        """Search and turn some pages; return milliseconds of each page."""
        place, took = place_of(self._node), []
        for _ in range(_PAGES):
            following = ""

            async def page(wanted: CaseFilter = wanted) -> None:
                nonlocal following
                found = await self._node.read(lambda db: list_cases(db, place, wanted))
                following = found.next

            took.append(await _timed(page))
            if not following:
                break
            wanted = wanted.model_copy(update={"after": following})
        return took


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await work()
    return (time.perf_counter() - started) * 1_000
