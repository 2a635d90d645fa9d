"""Renders templates: what every page has in common, and how dates, sizes and durations are said."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import cache
from typing import Any, Final

import jinja2
from aiohttp import web
from markupsafe import Markup

from node.clock import PLACE
from node.law import load_law
from node.web.calls import Call
from node.web.languages import Language
from schemas.law.rules import DeadlineRule

TEMPLATES: Final[web.AppKey[jinja2.Environment]] = web.AppKey("templates")

# (address, permission) of the main menu; page.html says its texts.
_MENU: Final = (
    ("/", "today.read"),
    ("/visits/new", "visit.register"),
    ("/cases", "case.list"),
    ("/directives", "directive.list"),
    ("/visits", "visit.list"),
    ("/packs", "pack.carry"),
    ("/data-requests", "data_request.list"),
    ("/accounts", "account.manage"),
    ("/audit", "audit.read"),
    ("/devices", "device.list"),
    ("/technician", "technician.read"),
)

# A browser also calls itself by the names of those it wants to be taken for: the first counts.
_PROGRAMS: Final = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "SamsungBrowser/": "Samsung Internet",
    "Firefox/": "Firefox",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
}
_SYSTEMS: Final = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}


def environment() -> jinja2.Environment:
    """Return the templates; everything put into them is escaped."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("node.web", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters["day"] = day
    templates.filters["moment"] = moment
    templates.filters["lead"] = lead
    templates.filters["number"] = number
    templates.filters["size"] = size
    templates.filters["pairs"] = pairs
    templates.filters["groups"] = groups
    templates.filters["browser"] = browser
    templates.filters["short"] = lambda text, count=12: text[:count]
    templates.globals["rule_of"] = rule_of
    return templates


def render(
    app: web.Application, template: str, language: Language, values: Mapping[str, Any]
) -> str:
    """Return a template in a language."""
    shared: dict[str, Any] = {
        "_": language.text,
        "label": language.label,
        "step": language.step,
        "language": language,
        "duration": _duration(language),
        "script_texts": Markup(language.script_texts().replace("<", "\\u003c")),
    }
    return app[TEMPLATES].get_template(template).render({**shared, **values})


def page(call: Call, template: str, **values: object) -> web.Response:
    """Return a whole page for somebody who is signed in."""
    office, me = call.office, call.me
    shared = {
        "me": me,
        "office": office,
        "is_demo": office.config.is_demo,
        "tier": office.tier.value,
        "menu": [path for path, needed in _MENU if me.may(needed) and not me.must_change],
        "path": call.request.path,
        "here": call.request.rel_url.raw_path_qs,
        "now_ms": office.clock.now_ms(),
        "today": office.clock.today().isoformat(),
        "may": me.may,
    }
    text = render(call.request.app, template, call.language, {**shared, **values})
    return web.Response(text=text, content_type="text/html", charset="utf-8")


def day(value: str) -> str:
    """Return an ISO date as it is written in Vietnam."""
    try:
        return date.fromisoformat(value).strftime("%d/%m/%Y")
    except ValueError:
        # What somebody else's program wrote there must not hide the rest of the page.
        return value


def moment(at_ms: int | None) -> str:
    """Return a wall time at the place."""
    if not at_ms:
        return ""
    try:
        return datetime.fromtimestamp(at_ms / 1000, PLACE).strftime("%H:%M %d/%m/%Y")
    except (ValueError, OverflowError, OSError):
        # A broken clock elsewhere said so, beyond the year 9999.
        return "?"


def browser(agent: str) -> str:
    """Return what a User-Agent names, as people call it: `Chrome · Android`; else its beginning."""
    program = next((name for sign, name in _PROGRAMS.items() if sign in agent), "")
    system = next((name for sign, name in _SYSTEMS.items() if sign in agent), "")
    return " · ".join(filter(None, (program, system))) or agent[:48]


def groups(digits: str) -> str:
    """Return digits in groups of four, fit to be read out."""
    return " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))


def lead(text: str) -> str:
    """Return a name as it stands inside a sentence: UBND stays as it is, and so do proper names."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def pairs(digits: str) -> str:
    """Return hex digits as systems show a fingerprint: byte by byte, in capital letters."""
    return " ".join(digits[at : at + 2].upper() for at in range(0, len(digits), 2))


@jinja2.pass_context
def number(context: jinja2.runtime.Context, value: float) -> str:
    """Return a number with one decimal, which Vietnamese writes after a comma."""
    text = f"{round(value, 1) + 0:.1f}"
    return text if context["language"].code == "en" else text.replace(".", ",")


@jinja2.pass_context
def size(context: jinja2.runtime.Context, size_bytes: int) -> str:
    """Return a number of bytes in the unit that people read."""
    if size_bytes < 1_000:
        return f"{size_bytes} B"
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1_000:.0f} kB"
    if size_bytes < 1_000_000_000:
        return f"{number(context, size_bytes / 1_000_000)} MB"
    return f"{number(context, size_bytes / 1_000_000_000)} GB"


def rule_of(rule_id: str) -> DeadlineRule | None:
    """Return a rule of law; None for one that a newer program knows."""
    return _rules().get(rule_id)


@cache
def _rules() -> Mapping[str, DeadlineRule]:
    return {rule.id: rule for rule in load_law().rules}


def _duration(language: Language) -> Callable[[int], str]:
    def say(seconds: int) -> str:
        if seconds < 90:
            return language.text("{n} giây", n=seconds)
        if seconds < 5_400:
            return language.text("{n} phút", n=round(seconds / 60))
        return language.text("{n} giờ", n=round(seconds / 3_600))

    return say
