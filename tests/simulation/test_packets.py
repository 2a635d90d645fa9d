"""Goal: what the simulated line passes up is what the real DTLS passes up.

Method: packets sealed by one end of a real connection reach the other in any order, twice, cut
short or flipped; the same happens to their numbers in the simulation.
"""

import random
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.dtls import Dialling, Listening, Secured
from node.entropy import system_entropy
from node.folder import open_folder
from tests.node.places import make_centre, make_commune, make_province
from tests.simulation.damage import damaged
from tests.simulation.packets import Replays

_PACKETS_MAX: Final = 150
_ADDRESS: Final = b"commune"
_FATES: Final = st.lists(
    st.tuples(st.integers(0, _PACKETS_MAX - 1), st.sampled_from(("whole", "whole", "spoiled"))),
    max_size=80,
)


class Ends:
    """Two nodes in memory, which open one connection after the other."""

    def __init__(self, folder: Path) -> None:
        make_centre(folder / "centre")
        make_province(folder / "province", folder / "centre")
        make_commune(folder / "commune", folder / "province")
        self._listening = Listening(open_folder(folder / "province"), system_entropy)
        self._dialling = Dialling(open_folder(folder / "commune"))

    def connect(self) -> tuple[Secured, Secured]:
        near, far = self._dialling.dial(), None
        up, down = near.begin(), list[bytes]()
        while up or down:
            for datagram in up:
                if far is None:
                    far, answers = self._listening.greet(datagram, _ADDRESS)
                else:
                    answers = far.receive(datagram)[1]
                down += answers
            up = [answer for datagram in down for answer in near.receive(datagram)[1]]
            down = []
        assert far is not None
        assert near.is_open
        assert far.is_open
        return near, far


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Ends:
    return Ends(tmp_path_factory.mktemp("places"))


def test_an_empty_datagram_is_passed_over(ends: Ends) -> None:
    near, far = ends.connect()
    assert far.receive(b"") == ([], [])
    assert far.receive(near.seal(b"goi")) == ([b"goi"], [])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fates=_FATES, seed=st.integers(0, 2**32))
def test_dtls_passes_up_what_is_whole_once_unless_it_is_too_late(
    ends: Ends, fates: list[tuple[int, str]], seed: int
) -> None:
    rng = random.Random(seed)
    near, far = ends.connect()
    sealed = [near.seal(number.to_bytes(2, "big")) for number in range(_PACKETS_MAX)]
    replays = Replays()
    for number, fate in fates:
        datagram = sealed[number]
        if fate == "spoiled":
            datagram = damaged(rng, datagram)
            while datagram.startswith(sealed[number]):
                datagram = damaged(rng, sealed[number])
        packets, answers = far.receive(datagram)
        passes = fate == "whole" and replays.is_news(number)
        assert packets == ([number.to_bytes(2, "big")] if passes else [])
        assert not answers
    assert far.is_open
