"""Goal: both ends of a datagram link know each other, and strangers get nothing.

Method: two ends in this process, on loopback, over a way that this file loses datagrams on.
"""

import asyncio
import random
from pathlib import Path

import pytest
from OpenSSL import SSL

from node.channel import HANDSHAKE_S, Channel
from node.clock import Clock
from node.dtls import DATAGRAM_BYTES_MAX, Dialling, Listening, judge
from node.entropy import system_entropy
from node.folder import is_directly_below, open_folder
from schemas.codes import Tier
from sync.errors import LinkError
from tests.node.places import make_below, make_centre, make_commune, make_province


def _places(folder: Path) -> tuple[Path, Path]:
    make_centre(folder / "centre")
    make_province(folder / "province", folder / "centre")
    make_commune(folder / "commune", folder / "province")
    return folder / "province", folder / "commune"


class Line:
    """Both ends, and a way of 10 ms between them that loses datagrams."""

    def __init__(self, province: Path, commune: Path, loss: float = 0.0, seed: int = 1) -> None:
        self.parent, self.child = open_folder(province), open_folder(commune)
        self.listening = Listening(self.parent, system_entropy)
        self.dialling = Dialling(self.child)
        self.loss = loss
        self.rng = random.Random(seed)
        self.near: Channel | None = None
        self.far: Channel | None = None
        self.sent: list[tuple[str, int]] = []

    def dial(self) -> Channel:
        self.far = None
        self.near = Channel(self.dialling.dial(), self._up, Clock(), is_dialler=True)
        self.near.begin()
        return self.near

    def _up(self, datagram: bytes) -> None:
        self._carry("up", datagram)

    def _down(self, datagram: bytes) -> None:
        self._carry("down", datagram)

    def _carry(self, way: str, datagram: bytes) -> None:
        assert len(datagram) <= DATAGRAM_BYTES_MAX
        self.sent.append((way, len(datagram)))
        if self.rng.random() >= self.loss:
            arrive = self._at_parent if way == "up" else self._at_child
            asyncio.get_running_loop().call_later(0.01, arrive, datagram)

    def _at_child(self, datagram: bytes) -> None:
        assert self.near is not None
        self.near.on_datagram(datagram)

    def _at_parent(self, datagram: bytes) -> None:
        if self.far is not None:
            self.far.on_datagram(datagram)
            return
        secured, answers = self.listening.greet(datagram, b"commune")
        for answer in answers if secured is None else ():
            self._down(answer)
        if secured is not None:
            self.far = Channel(secured, self._down, Clock(), is_dialler=False)
            self.far.begin()

    async def hang_up(self) -> None:
        assert self.near is not None
        assert self.far is not None
        await self.near.close()
        self.dialling.resumes = self.near.secured.end()
        assert await self.far.receive() is None
        self.far.abort()
        self.far.secured.end()


def test_both_ends_know_each_other_by_the_certificates_of_their_nodes(tmp_path: Path) -> None:
    line = Line(*_places(tmp_path))

    async def story() -> None:
        near = line.dial()
        await near.opened()
        await near.send_bytes(b"xin chao")
        assert line.far is not None
        assert await line.far.receive() == b"xin chao"
        now_ms = Clock().now_ms()
        subject, chain = judge(near.secured, line.child, now_ms)
        assert (subject.tier, subject.code) == (Tier.PROVINCE, "40")
        assert len(chain) == 1
        subject, chain = judge(line.far.secured, line.parent, now_ms)
        assert (subject.tier, subject.code) == (Tier.COMMUNE, "40.17083")
        assert len(chain) == 2
        await line.hang_up()

    asyncio.run(story())


def test_a_session_is_resumed_and_then_no_certificates_travel(tmp_path: Path) -> None:
    line = Line(*_places(tmp_path))

    async def story() -> None:
        taken = []
        for _ in range(2):
            line.sent.clear()
            near = line.dial()
            await near.opened()
            taken.append(sum(size for _, size in line.sent))
            await near.send_bytes(b"x")
            assert line.far is not None
            await line.far.opened()
            assert await line.far.receive() == b"x"
            for end, folder in ((near, line.child), (line.far, line.parent)):
                judge(end.secured, folder, Clock().now_ms())
            await line.hang_up()
        assert taken[0] > 2_000
        assert taken[1] < 1_000

    asyncio.run(story())


def test_the_handshake_comes_through_where_a_third_is_lost(tmp_path: Path) -> None:
    places = _places(tmp_path)

    async def story() -> None:
        for seed in (0, 2, 5):
            line = Line(*places, loss=0.3, seed=seed)
            near = line.dial()
            async with asyncio.timeout(HANDSHAKE_S):
                await near.opened()
                messages = [bytes([number]) * 3_000 for number in range(20)]
                for message in messages:
                    await near.send_bytes(message)
                assert line.far is not None
                await line.far.opened()
                assert [await line.far.receive() for _ in messages] == messages
            near.abort()
            line.far.abort()

    asyncio.run(story())


def test_a_stranger_who_proves_no_address_gets_less_than_it_sent_and_nothing_is_kept(
    tmp_path: Path,
) -> None:
    line = Line(*_places(tmp_path))
    hello = line.dialling.dial().begin()[0]
    for _ in range(3):
        secured, answers = line.listening.greet(hello, b"forged")
        assert secured is None
        assert 0 < sum(map(len, answers)) < len(hello)
    rng = random.Random(1)
    for size in (0, 1, 12, 13, 25, 200, 1_232):
        for data in (rng.randbytes(size), hello[: size or 1], hello[:13] + rng.randbytes(size)):
            assert line.listening.greet(data, b"noise")[0] is None


def test_a_dialler_that_numbers_its_repeated_hellos_anew_is_let_in(tmp_path: Path) -> None:
    line = Line(*_places(tmp_path))
    near = line.dialling.dial()
    hello = near.begin()[0]
    # Its first two were lost; the third is another record, as RFC 6347 section 4.2.2 has it.
    _, answers = line.listening.greet(hello[:5] + (2).to_bytes(6, "big") + hello[11:], b"address")
    _, again = near.receive(answers[0])
    far, flight = line.listening.greet(again[0], b"address")
    assert far is not None
    while flight and not near.is_open:
        replies = [reply for datagram in flight for reply in near.receive(datagram)[1]]
        flight = [answer for reply in replies for answer in far.receive(reply)[1]]
    assert near.is_open


def test_a_cookie_serves_the_address_it_was_given_to_alone(tmp_path: Path) -> None:
    line = Line(*_places(tmp_path))
    mine = line.dialling.dial()
    hello = mine.begin()[0]
    _, answers = line.listening.greet(hello, b"mine")
    _, again = mine.receive(answers[0])
    assert line.listening.greet(again[0], b"another")[0] is None
    assert line.listening.greet(again[0], b"mine")[0] is not None


def test_a_node_under_another_root_is_refused_by_both_ends(tmp_path: Path) -> None:
    province, commune = _places(tmp_path / "ours")
    _, stranger = _places(tmp_path / "theirs")

    async def story() -> None:
        line = Line(province, stranger)
        near = line.dial()
        with pytest.raises(LinkError, match="certificate verify failed"):
            await near.opened()
        # And where the child does not care who it talks to, the parent does.
        line = Line(province, commune)
        line.dialling = Dialling(open_folder(stranger))
        line.dialling._context.set_verify(SSL.VERIFY_NONE)
        near = line.dial()
        with pytest.raises(LinkError, match="alert"):
            await near.opened()
        assert line.far is not None
        with pytest.raises(LinkError, match="certificate verify failed"):
            await line.far.opened()

    asyncio.run(story())


def test_a_neighbour_is_seen_to_be_no_parent(tmp_path: Path) -> None:
    province, commune = _places(tmp_path)
    other = tmp_path / "other"
    make_below(other, province, tier=Tier.COMMUNE, code="40.17084", name="Xã khác")

    async def story() -> None:
        line = Line(province, commune)
        line.listening = Listening(open_folder(other), system_entropy)
        near = line.dial()
        # Communes take calls, of their outposts: who answered is told by the certificate.
        await near.opened()
        subject, _ = judge(near.secured, line.child, Clock().now_ms())
        assert subject.code == "40.17084"
        assert not is_directly_below(line.child.subject, subject)
        await line.hang_up()

    asyncio.run(story())
