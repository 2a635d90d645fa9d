"""Logs as JSON lines, one event each, without personal data."""

import json
import logging
import traceback
from typing import Final

from aiohttp.http_exceptions import HttpProcessingError

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, module, event, and the values given as extra."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "module": record.name,
            "event": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _places(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def _places(error: BaseException) -> str:
    """Return where an error arose and of what kind it is.

    What it says is left out: it may quote a name, or the words of a citizen.
    """
    pending = [traceback.TracebackException.from_exception(error)]
    found = []
    while pending:
        told = pending.pop()
        kind = told.exc_type.__name__ if told.exc_type else "error"
        found.append("".join(told.stack.format()) + kind)
        pending += told.exceptions or []
        earlier = told.__cause__ or told.__context__
        pending += [earlier] if earlier else []
    return "\n".join(reversed(found))


def _is_ours(record: logging.LogRecord) -> bool:
    """Tell whether a line is worth it: a stranger who speaks no HTTP could fill the disk."""
    if record.name != "aiohttp.server" or record.exc_info is None:
        return True
    return not isinstance(record.exc_info[1], HttpProcessingError)


def set_up_logs() -> None:
    """Write everything from INFO on to the standard error stream."""
    handler = logging.StreamHandler()
    handler.addFilter(_is_ours)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Each request and each handshake of strangers is not news for an operator.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
