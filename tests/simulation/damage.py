"""Bytes that are not what they were: flipped, cut off, or grown at the end."""

import random


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Return the bytes otherwise than they were, as a bad stick or failing memory leaves them."""
    if not data:
        return b"\0"
    match rng.choice(("bit", "bits", "byte", "cut", "tail")):
        case "bit":
            return _flipped(rng, data, 1)
        case "bits":
            return _flipped(rng, data, 8)
        case "byte":
            at = rng.randrange(len(data))
            return data[:at] + bytes([data[at] ^ rng.randint(1, 255)]) + data[at + 1 :]
        case "cut":
            return data[: rng.randrange(len(data))]
    return data + rng.randbytes(rng.randint(1, 8))


def _flipped(rng: random.Random, data: bytes, count: int) -> bytes:
    made = bytearray(data)
    # Different bits, so that none is flipped back.
    for bit in rng.sample(range(8 * len(made)), min(count, 8 * len(made))):
        made[bit // 8] ^= 1 << bit % 8
    return bytes(made)
