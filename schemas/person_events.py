"""Events of a person's own document: requests about personal data, and what was answered.

The rights are those that Law 91/2025/QH15 names for whom data are about. No time limit stands here:
none was found in a source that could be checked.
"""

from datetime import date
from typing import Literal

from schemas.events import Event, EventRef, Sentence


class DataRequested(Event):
    """Somebody asked what is held about them, or to have it corrected or deleted."""

    type: Literal["data_requested"] = "data_requested"
    right: Literal["access", "correction", "deletion", "other"]
    on: date
    text: Sentence = ""


class DataAnswered(Event):
    """The office answered such a request; a record is never deleted by it."""

    type: Literal["data_answered"] = "data_answered"
    request: EventRef
    answer: Literal["granted", "partly", "refused"]
    on: date
    reason: Sentence
