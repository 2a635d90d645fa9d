"""Goal: names, numbers and steps are said as people of the language say them.

Method: the filters and the order of steps alone, without a node.
"""

import pytest

from node.web.forms import in_order
from node.web.languages import languages
from node.web.rendering import browser, environment, lead


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("Chủ tịch UBND cấp xã", "chủ tịch UBND cấp xã"),
        ("Đến trực tiếp", "đến trực tiếp"),
        ("UBND tỉnh", "UBND tỉnh"),
        ("", ""),
    ],
)
def test_a_name_inside_a_sentence_keeps_its_abbreviations(name: str, inside: str) -> None:
    assert lead(name) == inside


@pytest.mark.parametrize(
    ("language", "size_bytes", "said"),
    [
        ("vi", 999, "999 B"),
        ("vi", 14_400, "14 kB"),
        ("vi", 2_340_000, "2,3 MB"),
        ("en", 84_500_000_000, "84.5 GB"),
    ],
)
def test_sizes_have_the_comma_of_the_language(language: str, size_bytes: int, said: str) -> None:
    template = environment().from_string("{{ n|size }}")
    assert template.render(n=size_bytes, language=languages()[language]) == said


@pytest.mark.parametrize(
    ("allowed", "recorded", "likely"),
    [
        (
            {"acceptance_proposed", "classified", "declared_ineligible"},
            {"classified"},
            ["acceptance_proposed"],
        ),
        ({"closed", "noted"}, set(), ["closed"]),
        ({"closed", "classified", "split"}, {"classified"}, []),
        ({"closed", "verification_started", "suspended"}, set(), ["verification_started"]),
    ],
)
def test_the_likely_step_comes_first(
    allowed: set[str], recorded: set[str], likely: list[str]
) -> None:
    first, aside = in_order(allowed, recorded)
    assert first == likely
    assert set(first) | set(aside) == allowed - {"noted", "split"}


def test_a_button_says_what_to_do_and_the_timeline_what_happened() -> None:
    english, vietnamese = languages()["en"], languages()["vi"]
    assert (english.step("closed"), english.label("event", "closed")) == ("Close", "Closed")
    assert vietnamese.step("closed") == vietnamese.label("event", "closed")


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) Chrome/131.0.0.0 Safari/537.36", "Chrome · Linux"),
        ("Mozilla/5.0 (Linux; Android 14) Chrome/131.0 Mobile Safari/537.36", "Chrome · Android"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/131.0 Safari/537.36 Edg/131.0", "Edge · Windows"),
        (
            "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) Version/17.5 Safari/604.1",
            "Safari · iPad",
        ),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0", "Firefox · Linux"),
        ("tiepdan pair", "tiepdan pair"),
        ("x" * 200, "x" * 48),
        ("", ""),
    ],
)
def test_a_browser_is_named_as_people_call_it(agent: str, said: str) -> None:
    assert browser(agent) == said
