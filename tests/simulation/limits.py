"""Limits of the product, as they are or so small that a short story crosses them often."""

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from unittest import mock

from node import choice, slots
from schemas import wire
from sync import document, inbound, log, outgoing, receiver, replica, sender, session, store
from tests.simulation.harms import short_days


@contextmanager
def files_at_once() -> Iterator[None]:
    """Wait for no disk: what a story writes to files survives all that happens in it."""
    with mock.patch.object(os, "fsync"):
        yield


@contextmanager
def small_limits(rng: random.Random) -> Iterator[None]:
    """Shrink limits of the product, so that a short story crosses them often."""
    head_step, subtree_level = rng.choice((4, 16, 4_096)), rng.choice((1, 2, 8))
    chosen = (
        (replica, "HEAD_STEP", head_step),
        (inbound, "HEAD_STEP", head_step),
        (receiver, "HEAD_STEP", head_step),
        (store, "SUBTREE_LEVEL", subtree_level),
        (log, "SUBTREE_LEVEL", subtree_level),
        (sender, "FRAME_LEAVES_MAX", rng.choice((2, 8, 512))),
        (sender, "FRAME_BYTES_MAX", rng.choice((150, 600, 1_200))),
        (wire, "PART_BYTES_MIN", 1),
        (receiver, "EARLY_FRAMES_MAX", head_step),
        (session, "WINDOW_BYTES_MIN", rng.choice((1_500, 8_000, 256 << 10))),
        (document, "_OPEN_DOCUMENTS_MAX", rng.choice((2, 2_000))),
        (choice, "_CALM_S", rng.choice((60.0, 600.0))),
        (choice, "_CALM_PACKETS", 10),
        (slots, "STARTING_MAX", rng.choice((1, 64))),
    )
    with _set(chosen), short_days(subtree_level):
        yield


@contextmanager
def frequent_polls() -> Iterator[None]:
    """Let nodes ask for a cosignature as often in the end as in the beginning."""
    with _set(((outgoing, "POLL_MS_MAX", outgoing.POLL_MS),)):
        yield


@contextmanager
def _set(chosen: Sequence[tuple[ModuleType, str, object]]) -> Iterator[None]:
    before = [(module, name, getattr(module, name)) for module, name, _ in chosen]
    try:
        for module, name, value in chosen:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
