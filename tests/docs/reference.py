"""Makes docs/EVENTS.md and docs/TABLES.md from the code.

`python -m tests.docs.reference` writes them; test_docs.py checks that they are up to date.
"""

import re
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from sqlite_utils import Database

from node.views import VIEW_TABLES
from node.views import migrations as view_migrations
from schemas.event_text import event_models
from schemas.events import StateEvent
from schemas.fields import DENUNCIATION_FIELDS, FIELDS
from sync.migrations import migrations as sync_migrations

ROOT = Path(__file__).parents[2]


def events_document() -> str:
    """Return docs/EVENTS.md."""
    lines = [
        "# Events and fields",
        "",
        "Made from the code by `python -m tests.docs.reference`; do not edit.",
        "",
        "An event is one JSON text under its event id in the map `events` of a document. Values"
        " that equal their default are left out. State events also have `follows`.",
        "",
        "| event | fields (default) | meaning |",
        "|---|---|---|",
    ]
    for name, model in event_models().items():
        fields = [
            _field(key, field)
            for key, field in model.model_fields.items()
            if key not in ("type", "follows")
        ]
        mark = " *" if issubclass(model, StateEvent) else ""
        meaning = " ".join((model.__doc__ or "").split())
        lines.append(f"| `{name}`{mark} | {', '.join(fields)} | {meaning} |")
    lines += [
        "",
        "\\* a state event.",
        "",
        "## Fields",
        "",
        "| kind | field | shape | letters at most |",
        "|---|---|---|---|",
    ]
    for kind, specs in FIELDS.items():
        for name, spec in specs.items():
            lines.append(f"| {kind.value} | `{name}` | {spec.shape} | {spec.chars_max} |")
    allowed = ", ".join(f"`{name}`" for name in sorted(DENUNCIATION_FIELDS))
    lines += ["", f"A denunciation's case and petition may hold only {allowed}.", ""]
    return "\n".join(lines)


def tables_document() -> str:
    """Return docs/TABLES.md."""
    database = Database(memory=True)
    for migrations in (sync_migrations, view_migrations):
        migrations.apply(database)
    lines = [
        "# Tables",
        "",
        "Made from the code by `python -m tests.docs.reference`; do not edit.",
        "",
        "The database of a node is `tiepdan.db` in its data folder. Open it read-only with"
        " Datasette or sqlite-utils while the node runs; do not write to it.",
        "",
        "**Views** are made from the records and can be made again with `tiepdan rebuild`. Ids are"
        " document ids as text, days are ISO dates, `_ms` are milliseconds since 1970, an empty"
        " text means that there is nothing.",
        "",
    ]
    for table in VIEW_TABLES:
        lines += _table(database, table)
    lines += [
        "**The log and its caches** belong to the program; `node/views.py` and `sync/migrations.py`"
        " say what each is for.",
        "",
    ]
    rest = sorted(set(database.table_names()) - set(VIEW_TABLES))
    shown = [name for name in rest if not re.match(r"(_sqlite|sqlite_|case_search_)", name)]
    lines += ["| table | columns |", "|---|---|"]
    lines += [f"| `{name}` | {_columns(database, name)} |" for name in shown]
    database.close()
    return "\n".join([*lines, ""])


def _table(database: Database, table: str) -> list[str]:
    return [f"| `{table}` |", "|---|", f"| {_columns(database, table)} |", ""]


def _columns(database: Database, table: str) -> str:
    rows = database.execute(f"PRAGMA table_info({table})").fetchall()
    return ", ".join(f"`{row[1]}`" + (f" {row[2].lower()}" if row[2] else "") for row in rows)


def _field(name: str, field: Any) -> str:
    default = "" if field.is_required() else f" ({_value(field.default)})"
    return f"`{name}` {_shape(field.annotation)}{default}"


def _value(value: Any) -> str:
    if value in ("", None, ()):
        return "none"
    return str(getattr(value, "value", value)).lower()


def _shape(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _shape(get_args(annotation)[0])
    if origin is Literal:
        return " or ".join(str(value) for value in get_args(annotation))
    if origin in (Union, UnionType):
        return _shape(next(part for part in get_args(annotation) if part is not type(None)))
    if origin is tuple:
        return f"list of {_shape(get_args(annotation)[0])}"
    names = {str: "text", int: "number", bool: "truth value"}
    return names.get(annotation) or str(annotation.__name__)


if __name__ == "__main__":
    (ROOT / "docs" / "EVENTS.md").write_text(events_document(), encoding="utf-8")
    (ROOT / "docs" / "TABLES.md").write_text(tables_document(), encoding="utf-8")
