"""The one place where randomness comes from."""

import os
import random


def system_entropy(size_bytes: int) -> bytes:
    """Return bytes nobody can guess."""
    return os.urandom(size_bytes)


def system_rng() -> random.Random:
    """Return a generator of numbers nobody can guess."""
    return random.SystemRandom()
