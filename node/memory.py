"""Keeps the process small and its pauses short: heaps and garbage."""

import ctypes
import gc
import sys
from asyncio import sslproto
from typing import Final

# From glibc's malloc.h.
_M_ARENA_MAX: Final = -8
_ARENAS: Final = 2
# Some TLS records; a link has seldom more on the way.
_TLS_BUFFER_BYTES: Final = 64 << 10
# Between two looks at what is new; a megabyte or two.
_NEW_OBJECTS: Final = 20_000


def share_heaps() -> None:
    """Let all threads allocate from two heaps, before any thread starts.

    By default each has one of its own, and keeps what it once needed; with a writer and some
    readers that was a quarter of a province's memory. Only glibc has something to set here.
    """
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "mallopt"):
            library.mallopt(_M_ARENA_MAX, _ARENAS)


def spare_buffers() -> None:
    """Let a TLS connection read through a small buffer, before any is open.

    asyncio has one of 256 KiB for each and fills it with zeros, so that an idle link takes it all:
    some 30 MB with 130 communes.
    """
    sslproto.SSLProtocol.max_size = _TLS_BUFFER_BYTES


def keep_what_is_loaded() -> None:
    """Spare the garbage collector what was loaded at the start and lives until the end.

    Looking through all of it took 60 ms now and then, while somebody waited. It looks at the rest
    seldom, as next to nothing here is in a circle: a change has some forty objects, and none of
    those that wait to be used is garbage.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)
