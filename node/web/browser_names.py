"""What a browser is called, for people: its name and the system's instead of the User-Agent."""

from functools import lru_cache
from typing import Final

import httpagentparser

# What people call it, where the parser says something else.
_NAMES: Final = {"ChromiumEdge": "Edge", "Mac OS": "macOS"}
_SHORT: Final = 40


@lru_cache(maxsize=256)
def browser_name(agent: str) -> str:
    """Return `Chrome 141 · Windows`; of what is no browser that is known, how its text begins.

    Versions of systems are left out: browsers say the same one whatever they run on.
    """
    found = httpagentparser.detect(agent)
    browser, system = found.get("browser") or {}, found["platform"]["name"]
    version = (browser.get("version") or "").partition(".")[0]
    name = " ".join(filter(None, (_called(browser.get("name")), version)))
    return (" · ".join(filter(None, (name, _called(system)))) or agent)[:_SHORT]


def _called(name: str | None) -> str:
    return _NAMES.get(name or "", name or "")
