"""Goal: whatever bytes arrive, a decoder returns or raises its own error.

Method: hypothesis; bytes out of nothing, and real ones that were cut, flipped, doubled and joined.
`scripts/fuzz` looks longer, guided by coverage.
"""

import random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzzing.samples import samples
from tests.fuzzing.targets import TARGETS
from tests.simulation.damage import damaged

_EXAMPLES: Final = 60
_FORM: Final = (b'{"kind": "visit", "fields": {"title": "m\xe1\xbb\x99t"}}',)


def real(name: str) -> tuple[bytes, ...]:
    return _FORM if name == "form" else samples()[name]


@pytest.mark.parametrize("name", TARGETS)
def test_real_bytes_are_read(name: str) -> None:
    assert real(name), "a target without any sample is hardly tested"
    for data in real(name):
        TARGETS[name].read(data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=_EXAMPLES)
@given(data=st.binary(max_size=400))
def test_arbitrary_bytes_raise_only_the_decoder_s_own_error(name: str, data: bytes) -> None:
    TARGETS[name].must_survive(data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=_EXAMPLES)
@given(seed=st.integers(0, 1 << 32), times=st.integers(1, 4))
def test_damaged_bytes_raise_only_the_decoder_s_own_error(name: str, seed: int, times: int) -> None:
    rng = random.Random(seed)
    data = rng.choice(real(name))
    for _ in range(times):
        data = damaged(rng, data)
    TARGETS[name].must_survive(data)
    # Two that were cut and joined.
    other = rng.choice(real(name))
    TARGETS[name].must_survive(data[: rng.randint(0, len(data))] + other[rng.randint(0, 20) :])
