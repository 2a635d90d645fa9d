"""Keeps the process small: tells the C library to share its heaps among the threads."""

import ctypes
import sys
from typing import Final

# From glibc's malloc.h.
_M_ARENA_MAX: Final = -8
_ARENAS: Final = 2


def share_heaps() -> None:
    """Let all threads allocate from two heaps, before any thread starts.

    By default each has one of its own, and keeps what it once needed; with a writer and some
    readers that was a quarter of a province's memory. Only glibc has something to set here.
    """
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "mallopt"):
            library.mallopt(_M_ARENA_MAX, _ARENAS)
