"""An officer's tablet and a node that are killed at a hundred instants: is everything there, once?

`python -m tests.story.tablet_kills --points 100 --seed 1` runs it for as long as it takes. Two
officers share a tablet (Chromium with a profile that outlives it) behind a wire that is cut and
mended. They take visits with photos while the node is out of reach, and while it answers; what
waits is sent as soon as it can be. At each point SIGKILL ends all processes of the browser, the
node's process, or both: a drawn time after a step of the officer, or when a drawn byte of what is
being sent has passed. A point counts only if there was something to lose: a form being filled or
saved, or entries still waiting afterwards.

"Told" is a visit of which the page had said that it is kept, or registered, before the kill. In
the end the node is compared with what was told and what was typed.
"""

import argparse
import hashlib
import os
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Error, FilePayload, Page, Playwright, sync_playwright

from tests.story.processes import NodeProcess
from tests.story.relay import Relay, Trap, relay_to
from tests.story.tablet import commune_node, opened_tablet, sign_in, start, unlock

OFFICERS: Final = {"lan": "Nguyễn Thị Lan", "mai": "Lô Thị Mai"}
# Where it is killed, and what.
PLACES: Final = ("take",) * 8 + ("take online",) * 4 + ("send",) * 8
VICTIMS: Final = ("browser",) * 5 + ("node",) * 3 + ("both",) * 2
# A step of the officer, and within how many seconds after its beginning the kill falls.
STEPS: Final = {"filling": 0.6, "saving": 0.25, "told": 0.1}
SENT: Final = (b"POST /api/v1/visits ", b"POST /api/v1/documents/")
_HEAD_BYTES: Final = 3_000

_ENTRIES = """async () => {
  const { list } = await import('/static/outbox.js');
  const { current } = await import('/static/safe.js');
  const who = await current();
  if (!who) return [];
  const { entries } = await list(who);
  return entries.map(({ state, body }) => [state, JSON.parse(body).petitions[0].title]);
}"""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A visit as the officer typed it; the title is like no other.

    Attributes:
        photos: their bytes.
    """

    officer: str
    title: str
    person: str
    photos: tuple[bytes, ...]

    @property
    def hashes(self) -> list[str]:
        """SHA-256 of the photos, sorted."""
        return sorted(hashlib.sha256(photo).hexdigest() for photo in self.photos)


@dataclass(kw_only=True)
class Outcome:
    """What was killed, and what came of it.

    Attributes:
        points: how often each (place, victim) was a kill point.
        told: titles of visits of which the page said that they are kept or registered.
        typed: all visits, by title.
    """

    points: Counter[tuple[str, str]] = field(default_factory=Counter)
    told: set[str] = field(default_factory=set)
    typed: dict[str, Visit] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many kill points there were."""
        return self.points.total()


def processes_of(profile: Path) -> list[int]:
    """Return the processes of the browser with this profile, the one that began first."""
    parents: dict[int, int] = {}
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(")")[2].split()[1]
            )
        except OSError:
            continue  # ended while it was looked at
        if f"--user-data-dir={profile}".encode() in words and not any(
            word.startswith(b"--type=") for word in words
        ):
            found.append(int(folder.name))
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return list(dict.fromkeys(found))


def kill_all(pids: list[int]) -> None:
    """SIGKILL processes; one that has ended by itself is as good."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


class Desk:
    """A tablet, a wire and a node, and what officers do with them."""

    def __init__(self, playwright: Playwright, node: NodeProcess, profile: Path, seed: int) -> None:
        """Begin with everything running; both officers sign in once."""
        self.outcome = Outcome()
        self._rng = random.Random(seed)
        self._playwright, self._node, self._profile = playwright, node, profile
        self._stack, self._browser = ExitStack(), ExitStack()
        self._relay: Relay = self._stack.enter_context(relay_to(node.web_port))
        self._url = f"http://127.0.0.1:{self._relay.port}"
        self._page = self._opened()
        self._step = "idle"
        self._officer = "lan"
        for officer in OFFICERS:
            self._be_online_as(officer)

    def close(self) -> None:
        """Close the browser and the wire."""
        self._browser.close()
        self._stack.close()

    def _opened(self) -> Page:
        context = self._browser.enter_context(opened_tablet(self._playwright, self._profile))
        return context.pages[0]

    # What an officer does.

    def _be_online_as(self, officer: str) -> None:
        """Open the node's page and sign in, if this officer is not."""
        self._relay.mend()
        if not self._node.is_running:
            start(self._node)
        self._page.goto(f"{self._url}/account")
        self._page.wait_for_load_state("load")
        if self._page.locator("main[data-apart]").count():
            return  # what waited was sent at once, and the node was killed at that
        if "sign-in" not in self._page.url:
            if self._page.locator("meta[name=user]").get_attribute("content") == officer:
                return
            self._page.locator("[data-sign-out]").click()
            self._page.wait_for_url(lambda address: "sign-in" in address)
        sign_in(self._page, self._url, officer)

    def _be_away_as(self, officer: str) -> None:
        """Lose the node, open the app all the same, and unlock it."""
        if self._rng.random() < 0.3 and self._node.is_running:
            self._node.kill()
        self._relay.cut()
        self._page.goto(f"{self._url}/visits/new")
        shown = self._page.locator("#visit[data-ready], #unlock:not([hidden])").first
        shown.wait_for()
        if self._page.locator("#who").inner_text() not in ("", OFFICERS[officer]):
            self._page.locator("[data-lock]").click()
            self._page.locator("#unlock:not([hidden])").wait_for()
        if self._page.locator("#unlock").is_visible():
            unlock(self._page, officer)
        self._page.locator("#visit[data-ready]").wait_for()
        assert self._page.locator("#who").inner_text() == OFFICERS[officer]

    def _typed(self, officer: str) -> Visit:
        rng = self._rng
        number = len(self.outcome.typed) + 1
        photos = tuple(
            b"\xff\xd8\xff\xe0" + rng.randbytes(rng.randrange(2_000, 150_000))
            for _ in range(rng.choice((1, 1, 2)))
        )
        visit = Visit(
            officer=officer,
            title=f"Việc thứ {number:04}",
            person=f"Hờ A {number:04}",
            photos=photos,
        )
        self.outcome.typed[visit.title] = visit
        return visit

    def _take(self, officer: str) -> Visit:
        """Fill in the form and save it; it was told once this returns."""
        visit = self._typed(officer)
        page = self._page
        self._step = "filling"
        page.locator("#people [name=full_name]").first.fill(visit.person)
        row = page.locator("#petitions [data-row]").first
        row.get_by_text("Khiếu nại", exact=True).click()
        row.locator("[name=title]").fill(visit.title)
        row.locator("[data-files]").set_input_files(
            [
                FilePayload(name=f"{place}.jpg", mimeType="image/jpeg", buffer=photo)
                for place, photo in enumerate(visit.photos)
            ]
        )
        self._step = "saving"
        page.keyboard.press("Control+Enter")
        page.locator("#done:not([hidden])").wait_for()
        self.outcome.told.add(visit.title)
        self._step = "told"
        page.wait_for_timeout(1_000 * STEPS["told"])
        return visit

    # What kills.

    def _victims(self, victim: str) -> Callable[[], None]:
        def kill() -> None:
            pids = processes_of(self._profile) if victim != "node" else []
            if victim != "browser":
                pids.append(self._node.pid)
            kill_all(pids)

        return kill

    def _recover(self, victim: str) -> None:
        """Start again what was killed."""
        if victim != "browser":
            self._node.kill()
        if victim != "node":
            while processes_of(self._profile):
                time.sleep(0.02)
            with suppress(Error):  # a browser that was killed cannot be closed
                self._browser.close()
            self._page = self._opened()

    def _entries(self) -> list[tuple[str, str]]:
        """Return (state, title) of what the tablet holds for whoever has unlocked it."""
        return [(state, title) for state, title in self._page.evaluate(_ENTRIES)]

    def _waiting(self) -> list[Visit]:
        typed = self.outcome.typed
        return [typed[title] for state, title in self._entries() if state != "arrived"]

    def kill_while_taking(self, officer: str, victim: str, *, is_online: bool) -> bool:
        """Kill while a visit is taken; returns whether it fell into that."""
        if is_online:
            self._be_online_as(officer)
            self._page.goto(f"{self._url}/visits/new")
            self._page.locator("#visit[data-ready]").wait_for()
        else:
            self._be_away_as(officer)
        step = self._rng.choice(("filling", "saving", "saving", "saving", "told"))
        delay_s = self._rng.uniform(0, STEPS[step])
        # What the officer has done is noticed here, so the killer looks on and then counts down.
        self._step = "idle"
        deed = self._victims(victim)
        killer = threading.Thread(target=self._kill_at, args=(step, delay_s, deed), daemon=True)
        killer.start()
        try:
            self._take(officer)
        except Error:
            if victim == "node":
                raise
        killed_in = self._step
        killer.join()
        self._recover(victim)
        return killed_in != "idle"

    def _kill_at(self, step: str, delay_s: float, kill: Callable[[], None]) -> None:
        while self._step not in (step, "told"):
            time.sleep(0.001)
        time.sleep(delay_s)
        kill()

    def kill_while_sending(self, officer: str, victim: str) -> bool:
        """Kill when a byte passes of what is sent; returns whether entries still waited."""
        self._be_away_as(officer)
        while len(waiting := self._waiting()) < 2:
            self._take(officer)
            self._be_away_as(officer)
        total = sum(_HEAD_BYTES + len(photo) for visit in waiting for photo in visit.photos)
        trap = Trap(SENT, self._rng.randrange(total), self._victims(victim))
        self._relay.set_trap(trap)
        try:
            self._be_online_as(officer)
            until = time.monotonic() + 5
            while not trap.is_sprung.is_set() and time.monotonic() < until:
                self._page.wait_for_timeout(20)
        except Error:
            # Whatever was being done: it was killed in the middle.
            if not trap.is_sprung.wait(2):
                raise
        if not trap.is_sprung.is_set():
            # Most of it had arrived before: there is less left to send than was thought.
            self._relay.set_trap(None)
            return False
        self._recover(victim)
        self._be_away_as(officer)
        return bool(self._waiting())

    def one_point(self) -> None:
        """Kill something at some instant."""
        rng = self._rng
        if rng.random() < 0.25:
            self._officer = rng.choice(list(OFFICERS))
        place, victim = rng.choice(PLACES), rng.choice(VICTIMS)
        if place == "take":
            victim = "browser"
        if place == "send":
            is_point = self.kill_while_sending(self._officer, victim)
        else:
            is_online = place == "take online"
            is_point = self.kill_while_taking(self._officer, victim, is_online=is_online)
        if is_point:
            self.outcome.points[place, victim] += 1

    def send_everything(self) -> None:
        """Let each officer sign in until nothing of hers waits."""
        for officer in OFFICERS:
            self._be_online_as(officer)
            until = time.monotonic() + 60
            while self._waiting():
                assert time.monotonic() < until, self._entries()
                self._page.wait_for_timeout(100)


def compare(node: NodeProcess, outcome: Outcome) -> str:
    """Compare the node with what was typed and told, and return a line about it.

    Raises:
        AssertionError: something is missing, doubled or not as it was typed.
    """
    with closing(sqlite3.connect(f"file:{node.folder / 'tiepdan.db'}?mode=ro", uri=True)) as db:
        cases = db.execute("SELECT id, title FROM cases").fetchall()
        held: dict[str, list[str]] = {}
        for case, sha256 in db.execute("SELECT document_id, sha256 FROM attachments"):
            held.setdefault(case, []).append(sha256)
        whose = db.execute(
            "SELECT p.case_id, v.officer, o.full_name FROM visits v"
            " JOIN visit_petitions p ON p.visit_id = v.id"
            " JOIN visit_people w ON w.visit_id = v.id JOIN people o ON o.id = w.person_id"
        ).fetchall()
        people = db.execute("SELECT count(*) FROM people").fetchone()[0]
    titles = Counter(title for _, title in cases)
    lost = outcome.told - set(titles)
    assert not lost, f"lost: {sorted(lost)}"
    doubled = [title for title, count in titles.items() if count > 1]
    assert not doubled, f"doubled: {doubled}"
    assert set(titles) <= set(outcome.typed)
    assert people == len(cases) == len(whose), (people, len(cases), len(whose))
    by_case: Mapping[str, tuple[str, str]] = {
        case: (officer, name) for case, officer, name in whose
    }
    for case, title in cases:
        visit = outcome.typed[title]
        assert by_case[case] == (OFFICERS[visit.officer], visit.person), (title, by_case[case])
        photos = sorted(held.get(case, []))
        if title in outcome.told:
            assert photos == visit.hashes, (title, len(photos), len(visit.photos))
        assert len(photos) == len(set(photos))
        assert set(photos) <= set(visit.hashes), title
    extra = len(set(titles) - outcome.told)
    return (
        f"{outcome.count} kill points, {len(outcome.typed)} visits typed, {len(outcome.told)} told:"
        f" 0 lost, 0 doubled, 0 under another person; {extra} more arrived, once, of which the"
        " page had not told yet"
    )


@contextmanager
def opened_desk(folder: Path, seed: int) -> Iterator[tuple[Desk, NodeProcess]]:
    """Run a node and a tablet."""
    with commune_node(folder, OFFICERS) as node, sync_playwright() as playwright:
        desk = Desk(playwright, node, folder / "profile", seed)
        try:
            yield desk, node
        finally:
            desk.close()


def run(folder: Path, *, points: int, seed: int, say: Callable[[str], Any]) -> str:
    """Kill at so many points, compare, and return a line about it."""
    with opened_desk(folder, seed) as (desk, node):
        while desk.outcome.count < points:
            before = desk.outcome.count
            desk.one_point()
            if desk.outcome.count > before and desk.outcome.count % 10 == 0:
                say(f"{desk.outcome.count} points, {len(desk.outcome.told)} visits told")
        desk.send_everything()
        for (place, victim), count in sorted(desk.outcome.points.items()):
            say(f"  {count:3} x {victim} killed, {place}")
        return compare(node, desk.outcome)


def main() -> int:
    """Run it as a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tablet-kills-") as folder:
        line = run(Path(folder), points=asked.points, seed=asked.seed, say=print)
    print(f"{line}; seed {asked.seed}, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
