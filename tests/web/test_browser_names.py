"""Goal: in the list of sessions a person knows the own browsers again.

Method: what browsers of this year send, and anything at all.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.web.browser_names import browser_name

_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
_ANDROID = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko)"
_IPAD = "Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (f"{_WINDOWS} Chrome/141.0.0.0 Safari/537.36", "Chrome 141 · Windows"),
        (f"{_WINDOWS} Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0", "Edge 141 · Windows"),
        (f"{_ANDROID} Chrome/141.0.0.0 Mobile Safari/537.36", "Chrome 141 · Android"),
        (f"{_IPAD} Version/18.5 Mobile/15E148 Safari/604.1", "Safari 18 · iOS"),
        (f"{_MAC} Version/17.4 Safari/605.1.15", "Safari 17 · macOS"),
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Firefox 140 · Linux",
        ),
        ("Python/3.11 aiohttp/3.13.1", "Python/3.11 aiohttp/3.13.1"),
        ("", ""),
    ],
)
def test_a_session_is_shown_by_browser_and_system(agent: str, name: str) -> None:
    assert browser_name(agent) == name


WORDS = st.sampled_from(
    ["Mozilla/5.0", "Chrome", "Chrome/", "/9.", "Safari", "Version/", "Edg/", "(Windows NT ", "; ",
     "Android", "Linux", "Mac OS X 10_", "iPad; CPU OS ", "Firefox/x", "MSIE", "Trident", " ", ")"]
)  # fmt: skip


@given(st.text(max_size=200) | st.lists(WORDS, max_size=25).map("".join))
def test_whatever_a_browser_says_of_itself_there_is_a_short_name(agent: str) -> None:
    assert len(browser_name(agent[:200])) <= 40
