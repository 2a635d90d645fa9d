"""Goal: whatever is killed while a tablet sends, every visit and file arrives, and arrives once.

Method: the outbox of a real browser holds many small visits, each with a file. A hundred times,
while it sends, a seeded draw kills something: the wire at a random byte, the page, the node's
process (SIGKILL) or the browser's process, the last three at a random instant. A kill point is one
at which a visit was being sent and after which visits were still waiting; other kills do not count.
In the end node and outbox are compared with what was put in.
"""

import hashlib
import random
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Error, Playwright

from schemas.ids import document_text, mint_document_id
from tests.story.processes import NodeProcess
from tests.story.relay import Relay, relay_to
from tests.story.tablet import opened_tablet, sign_in
from tests.story.test_tablet import node, playwright, start

__all__ = ["node", "playwright"]
pytestmark = pytest.mark.serial

KILLS = ("wire",) * 60 + ("page",) * 26 + ("node",) * 10 + ("browser",) * 4
SEED = 20_264
# Under this many waiting visits more are put in, so that every kill finds the outbox at work.
WAITING_MIN = 12
BATCH = 40

_PUT = """async (entries) => {
  const { put } = await import('/static/outbox.js');
  const { current } = await import('/static/safe.js');
  const who = await current();
  for (const { id, body, text } of entries) {
    await put(who, id, body, [{ place: 0, file: new File([text], `${id}.txt`) }]);
  }
}"""
_STATES = """async () => {
  const { list } = await import('/static/outbox.js');
  const { current } = await import('/static/safe.js');
  return (await list(await current())).entries.map(({ state }) => state);
}"""
# Not awaited: it is under way when something is killed.
_PUSH = """() => { import('/static/outbox-panel.js').then(({ push }) => push()); }"""
_PUSH_ALL = """async () => (await import('/static/outbox-panel.js')).push()"""


class Desk:
    """A tablet with a full outbox behind a wire that breaks, and what was put into it."""

    def __init__(self, node: NodeProcess, playwright: Playwright, profile: Path) -> None:
        """Begin with everything running and somebody signed in."""
        self.rng = random.Random(SEED)
        self.files: dict[str, str] = {}
        self.kills = 0
        self._node, self._playwright, self._profile = node, playwright, profile
        self._tablet = ExitStack()
        self._stack = ExitStack()
        self.relay: Relay = self._stack.enter_context(relay_to(node.web_port))
        self.url = f"http://127.0.0.1:{self.relay.port}"
        self.context = self._opened()
        self.page = self.context.pages[0]
        sign_in(self.page, self.url, "lan")

    def _opened(self) -> BrowserContext:
        return self._tablet.enter_context(opened_tablet(self._playwright, self._profile))

    def close(self) -> None:
        """Close the browser and the wire."""
        self._tablet.close()
        self._stack.close()

    def load(self) -> None:
        """Open a page of the app, which begins to send by itself."""
        self.page.goto(f"{self.url}/account")
        if "sign-in" in self.page.url:
            # A browser writes its cookies only now and then: killed, it may forget the session.
            sign_in(self.page, self.url, "lan")
        self.page.evaluate(_PUSH)

    def states(self) -> list[str]:
        """Return the states of all visits, of which none may be missing."""
        states: list[str] = self.page.evaluate(_STATES)
        assert set(states) <= {"waiting", "sending", "arrived"}, states
        assert len(states) == len(self.files)
        return states

    def waiting(self) -> int:
        """Return how many visits have not arrived as the outbox knows it."""
        return sum(state != "arrived" for state in self.states())

    def refill(self) -> None:
        """Put more visits into the outbox."""
        entries = [self._entry() for _ in range(BATCH)]
        self.page.evaluate(_PUT, entries)

    def _entry(self) -> dict[str, Any]:
        ids = [document_text(mint_document_id(1_800_000_000_000, self.rng)) for _ in range(4)]
        visit, person, petition, case = ids
        text = f"{visit} " * self.rng.randrange(1, 60)
        self.files[case] = hashlib.sha256(text.encode()).hexdigest()
        body = (
            f'{{"visit_id":"{visit}","held_on":"2026-11-02","people":[{{"id":"{person}",'
            f'"full_name":"Hờ A Chua"}}],"petitions":[{{"id":"{petition}","case_id":"{case}",'
            f'"case_type":"khieu_nai","title":"{case}"}}]}}'
        )
        return {"id": visit, "body": body, "text": text}

    def reach_an_instant(self) -> None:
        """Let it send for a random while, and on until a visit is under way."""
        self.page.wait_for_timeout(self.rng.randrange(0, 200))
        for _ in range(100):
            if "sending" in self.states():
                return
            self.page.evaluate(_PUSH)
        raise AssertionError("nothing is being sent")

    def kill_wire(self) -> None:
        """Break the wire at a random byte of what passes."""
        self.relay.break_after(self.rng.randrange(0, 6_000))
        self.page.evaluate(_PUSH)
        assert self.relay.wait_until_broken(20)

    def kill_page(self) -> None:
        """Close the tab without asking it."""
        self.reach_an_instant()
        dead, self.page = self.page, self.context.new_page()
        dead.close()
        self.load()

    def kill_node(self) -> None:
        """SIGKILL the node, and start it again."""
        self.reach_an_instant()
        self._node.kill()
        start(self._node)
        self.page.evaluate(_PUSH)

    def kill_browser(self) -> None:
        """Crash the browser's process, and start it again."""
        self.reach_an_instant()
        with pytest.raises(Error):
            self.context.new_cdp_session(self.page).send("Browser.crash")
        self._tablet.close()
        self.context = self._opened()
        self.page = self.context.pages[0]
        self.load()


def test_100_kills_while_sending_lose_and_double_nothing(
    node: NodeProcess, playwright: Playwright, tmp_path: Path
) -> None:
    desk = Desk(node, playwright, tmp_path / "profile")
    ways = {
        "wire": desk.kill_wire,
        "page": desk.kill_page,
        "node": desk.kill_node,
        "browser": desk.kill_browser,
    }
    try:
        for way in desk.rng.sample(KILLS, len(KILLS)):
            if desk.waiting() < WAITING_MIN:
                desk.refill()
                desk.page.evaluate(_PUSH)
            ways[way]()
            assert desk.waiting() > 0, way
            desk.kills += 1
        assert desk.kills == 100
        for _ in range(60):
            if desk.waiting() == 0:
                break
            desk.page.evaluate(_PUSH_ALL)
            desk.page.wait_for_timeout(200)
        assert desk.waiting() == 0
    finally:
        desk.close()
    _compare(node, desk.files)


def _compare(node: NodeProcess, files: dict[str, str]) -> None:
    with closing(sqlite3.connect(f"file:{node.folder / 'tiepdan.db'}?mode=ro", uri=True)) as db:
        mine = "SELECT id FROM cases WHERE title = id"
        cases = sorted(row[0] for row in db.execute(mine))
        held = db.execute(
            f"SELECT document_id, sha256 FROM attachments WHERE document_id IN ({mine})"
        )
        attached = sorted(held.fetchall())
        visits = "SELECT v.officer FROM visits v JOIN visit_petitions p ON p.visit_id = v.id"
        officers = db.execute(f"{visits} WHERE p.case_id IN ({mine})").fetchall()
        people = db.execute("SELECT count(*) FROM people WHERE full_name = 'Hờ A Chua'").fetchone()[
            0
        ]
    assert cases == sorted(files)
    assert attached == sorted(files.items())
    assert len(officers) == len(files)
    assert people == len(files)
    print(f"{len(files)} visits, each with a file, once")
