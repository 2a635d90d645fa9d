"""Goal: the log says where something went wrong, and never whose words were in it.

Method: errors whose texts quote a citizen, written as the running node writes them.
"""

import json
import logging
import sys

import pytest
from aiohttp.http_exceptions import BadStatusLine

from node.logs import JsonLines, set_up_logs

NAME = "Nguyễn Văn A"


def _written(error: Exception) -> str:
    try:
        raise error
    except Exception:
        record = logging.LogRecord("node", logging.ERROR, "", 1, "fault", None, sys.exc_info())
    return JsonLines().format(record)


def test_an_error_is_logged_with_its_place_and_without_its_words() -> None:
    try:
        try:
            raise ValueError(f"not a date: {NAME}")
        except ValueError as cause:
            raise KeyError(NAME) from cause
    except KeyError as error:
        line = json.loads(_written(error))
    assert NAME not in json.dumps(line, ensure_ascii=False)
    assert "KeyError" in line["error"]
    assert "ValueError" in line["error"]
    assert "test_logs.py" in line["error"]


def test_a_stranger_who_speaks_no_http_does_not_fill_the_disk(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    set_up_logs()
    try:
        for error in (BadStatusLine("\x16\x03\x01"), LookupError(NAME)):
            logging.getLogger("aiohttp.server").error("Error handling request", exc_info=error)
    finally:
        logging.basicConfig(level=level, handlers=before, force=True)
    [line] = capsys.readouterr().err.splitlines()
    assert "LookupError" in line


def test_errors_that_ended_together_are_all_named() -> None:
    line = _written(ExceptionGroup("two", [ValueError(NAME), LookupError(NAME)]))
    assert NAME not in line
    assert "ValueError" in line
    assert "LookupError" in line
