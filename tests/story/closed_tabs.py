"""How soon may a tab be closed after a letter was typed, and the letter is still there?

`python -m tests.story.closed_tabs` types a word into the form of a visit in Debian's Chromium,
closes the tab after N milliseconds, opens another and reads what the browser kept of the draft; so
often for each N, and at last with a page that goes away by itself in the very task of its last
letter, which no person can do. It prints how many words were lost.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Final

from playwright.sync_api import BrowserContext

from tests.story.browser import chromium, signed_in
from tests.story.tablet import commune_node

WAITS_MS: Final = (0, 5, 10, 20, 50, 100)
_KEPT: Final = """async () => {
  const { draftIds, dropDraft, readDraft } = await import('/static/outbox.js');
  const { current } = await import('/static/safe.js');
  const who = await current();
  const kept = [];
  for (const id of await draftIds(who)) {
    kept.push((await readDraft(who, id)).people[0].full_name);
    await dropDraft(id);
  }
  return kept;
}"""


_LEAVE_AT_ONCE: Final = """(word) => {
  const name = document.querySelector('#people [name=full_name]');
  name.value = word;
  name.dispatchEvent(new InputEvent('input', { bubbles: true }));
  location.replace('about:blank');
}"""


def kept_after(context: BrowserContext, url: str, word: str, wait_ms: int | None) -> list[str]:
    """Type a word, close the tab so much later, and return the names in what was kept."""
    page = context.new_page()
    page.goto(f"{url}/visits/new")
    page.locator("#visit[data-ready]").wait_for()
    if wait_ms is None:
        page.evaluate(_LEAVE_AT_ONCE, word)
        page.wait_for_url("about:blank")
    else:
        page.locator("#people [name=full_name]").first.focus()
        page.keyboard.type(word)
        # The machine's own clock: Playwright's wait is a message to the page, and longer.
        time.sleep(wait_ms / 1_000)
    page.close()
    reader = context.new_page()
    reader.goto(f"{url}/account")
    kept: list[str] = reader.evaluate(_KEPT)
    reader.close()
    return kept


def main() -> None:
    """Measure as a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--waits", type=int, nargs="*", default=WAITS_MS)
    asked = parser.parse_args()
    times = asked.times
    with (
        tempfile.TemporaryDirectory(prefix="closed-tabs-") as folder,
        commune_node(Path(folder), {"lan": "Nguyễn Thị Lan"}) as node,
        chromium() as browser,
    ):
        context = signed_in(browser, node, "lan").context
        for wait_ms in (*asked.waits, None):
            words = [f"Lầu Bá {turn}" for turn in range(10, 10 + times)]
            kept = [kept_after(context, node.url, word, wait_ms) for word in words]
            whole = sum([word] == found for word, found in zip(words, kept, strict=True))
            none = sum(not found for found in kept)
            when = "in the same task" if wait_ms is None else f"after {wait_ms:3} ms"
            print(
                f"{when}: {whole} of {times} kept whole,"
                f" {times - whole - none} without the last letters, {none} lost"
            )


if __name__ == "__main__":
    main()
