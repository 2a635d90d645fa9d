"""A parent that lies: somebody with the province's key, or at its address with another certificate.

Here the commune is the one that is lied to; it runs in this process, over the same TLS.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from crypto.certificates import chain_to_der
from crypto.identity import device_id
from crypto.revocation import sign_revocation
from node.folder import NodeFolder, open_folder
from node.tls import server_context
from schemas.revocation import Revocation
from scripts.attacks.report import Report
from scripts.attacks.world import World
from tests.independent import forger
from tests.independent.forger import Signer
from tests.independent.messages import ACK, FRAME, HEAD, HELLO, REVOKED, read, write
from tests.independent.peer import CODING_PLAIN, cosigned_text, head_text, log_id, root_of
from tests.independent.peer_link import now_ms
from tests.node.places import Running, make_commune, running, serving, set_parent

_CODE: Final = "40.17120"
_TOLD_S: Final = 6.0
_QUIET_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """What a false parent says, and how it is seen that it was not believed.

    Attributes:
        said: for the report.
        messages: said at once after the handshake.
        trace: query for what of the lie stands in the commune's database; it must be empty.
        ends: whether the link has to end for it.
    """

    said: str
    messages: tuple[bytes, ...]
    trace: str = "SELECT 1 WHERE 0"
    ends: bool = True


async def attack(world: World, report: Report) -> None:
    """Let a commune of its own dial false parents, one after the other."""
    folder = world.folder / "lured"
    await asyncio.to_thread(make_commune, folder, world.province.folder, _CODE)
    await _certificates(world, report, folder)
    scene = _Scene(world, folder)
    for lie in [*scene.logs(), *scene.heads(), *scene.revocations(), *scene.leaves()]:
        code, traces = await _told(folder, scene.province, lie)
        refused = not traces and code != "link_fault" and (bool(code) or not lie.ends)
        shown = f"{code or 'the link stays'}, {len(traces)} traces"
        report.tried(f"a parent that sends {lie.said}", shown, refused=refused)
    await _cosignatures(world, report, scene)
    await _older(report, folder, scene)


async def _certificates(world: World, report: Report, folder: Path) -> None:
    """Answer at the province's address with certificates that are not the province's."""
    for said, name in {
        "another province": "thanh-hoa",
        "another country": "other-province",
        "a neighbouring commune": "neighbour",
        "the centre": "centre",
        "itself": "lured",
    }.items():
        shown = open_folder(world.folder / name)
        hello = write(HELLO, 1, now_ms(), 0, [], [])
        code, _ = await _told(folder, shown, Lie(said=said, messages=(hello,)))
        refused = code.startswith("certificate_") or code == "link_unreachable"
        report.tried(f"a parent with the certificate of {said}", code or "open", refused=refused)


async def _told(folder: Path, shown: NodeFolder, lie: Lie) -> tuple[str, list[tuple[Any, ...]]]:
    """Return why the commune ended the link, empty if it did not, and traces of the lie."""

    async def serve(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        with contextlib.suppress(ConnectionError):
            for message in lie.messages:
                await socket.send_bytes(message)
            async for _ in socket:
                continue
        return socket

    async with serving(serve, server_context(shown)) as port:
        set_parent(folder, port)
        async with running(folder) as commune:
            code = await _ending(commune, _TOLD_S if lie.ends else _QUIET_S)
            traces = await commune.node.read(lambda db: db.execute(lie.trace).fetchall())
            return code, [tuple(row) for row in traces]


async def _ending(commune: Running, wait_s: float) -> str:
    with contextlib.suppress(TimeoutError):
        await commune.wait_for(lambda at: at.link_code() != "", wait_s)
    return commune.link_code()


class _Scene:
    """The province's key in false hands, and what can be signed with it."""

    def __init__(self, world: World, folder: Path) -> None:
        self.province = open_folder(world.province.folder)
        self.reader = open_folder(folder).subject.peer_id
        self.me = _signer(self.province)
        self.neighbour = _signer(open_folder(world.folder / "neighbour"))
        self.centre = open_folder(world.folder / "centre")
        self.elsewhere = open_folder(world.folder / "thanh-hoa")
        self.purpose = f"down/{self.reader.hex()}"
        draft = forger.Draft(forger.actor(self.me))
        self.true = [
            forger.certificates(self.me.chain),
            forger.writer(self.me),
            forger.change(draft.first),
        ]

    @property
    def log(self) -> bytes:
        return log_id(self.me.peer_id, self.purpose, 0)

    def hello(self, size: int, **changed: Any) -> bytes:
        offer = {"owner": b"", "purpose": "down", "epoch": 0, "from": 0, "size": size}
        return write(HELLO, 1, now_ms(), 0, [[*(offer | changed).values(), 0, 0]], [])

    def sent(self, leaves: Sequence[bytes], head: tuple[Any, ...] = ()) -> tuple[bytes, ...]:
        """Return the messages that bring leaves under the true head over them, or another one."""
        signed = self.me.sign(head_text(self.me.code, self.log, leaves))
        said = head or (len(leaves), root_of(leaves), signed)
        frame = write(FRAME, b"\0", 2, 0, CODING_PLAIN, list(leaves))
        return self.hello(len(leaves)), frame, write(HEAD, b"\0", *said)

    def logs(self) -> list[Lie]:
        """Offer logs that the province has no right to send down."""
        foreign: dict[str, dict[str, Any]] = {
            "the log for the neighbour": {"purpose": f"down/{self.neighbour.peer_id.hex()}"},
            "its own log upwards": {"purpose": "up"},
            "a log in the name of the centre": {"owner": self.centre.subject.peer_id},
            "a log in the commune's own name": {"owner": self.reader},
        }
        theirs = self.hello(1, owner=self.neighbour.peer_id, purpose="up")
        # A commune is given back logs of its outposts: whose one is, its certificate tells.
        first = write(FRAME, b"\0", 2, 0, CODING_PLAIN, [forger.certificates(self.neighbour.chain)])
        return [
            Lie(said="the neighbour's records", messages=(theirs, first)),
            *(
                Lie(said=said, messages=(self.hello(3, **changed),))
                for said, changed in foreign.items()
            ),
        ]

    def heads(self) -> list[Lie]:
        """Sign heads falsely."""
        leaves, changes = self.true, "SELECT 1 FROM change"
        true = self.me.sign(head_text(self.me.code, self.log, leaves))
        root, other = root_of(leaves), head_text(self.me.code, self.log, leaves[:2])
        by_neighbour = self.neighbour.sign(head_text(self.me.code, self.log, leaves))
        return [
            Lie(said=f"a tree head {said}", messages=self.sent(leaves, head), trace=changes)
            for said, head in {
                "without a signature": (3, root, bytes(64)),
                "with another root": (3, bytes(32), true),
                "signed for other leaves": (3, root, self.me.sign(other)),
                "signed by a commune": (3, root, by_neighbour),
            }.items()
        ] + [
            Lie(
                said="a log that begins with a commune's certificate",
                messages=self.sent([forger.certificates(self.neighbour.chain), *leaves[1:]]),
                trace=changes,
            )
        ]

    def revocations(self) -> list[Lie]:
        """Revoke whom the province may not."""
        found = []
        for said, of in {"the centre": self.centre, "another province": self.elsewhere}.items():
            subject = of.subject
            revocation = Revocation(
                key=subject.peer_id, code=subject.code, marks=(), reason="x", at_ms=now_ms()
            )
            chain = chain_to_der(self.province.chain)
            statement = sign_revocation(self.province.key, chain, revocation).encode()
            messages = self.hello(0), write(REVOKED, statement)
            trace = "SELECT 1 FROM revocation"
            found.append(Lie(said=f"a revocation of {said}", messages=messages, trace=trace))
        return found

    def leaves(self) -> list[Lie]:
        """Sign a true log of false leaves: they are kept as evidence, and have no effect."""
        own = device_id(self.reader)
        victim = replace(self.me, peer_id=self.reader, tier="commune", code=_CODE)
        draft = forger.Draft(forger.actor(victim, own))
        forged = [
            forger.certificates(self.me.chain),
            forger.writer(victim, device=own),
            forger.change(draft.first),
        ]
        foreign = [
            forger.certificates(self.me.chain),
            forger.certificates(chain_to_der(self.elsewhere.chain)),
            forger.certificates(self.neighbour.chain),
        ]
        return [
            Lie(
                said="a record in the commune's own name",
                messages=self.sent(forged),
                trace="SELECT 1 FROM change",
                ends=False,
            ),
            # On another epoch, as the log before it has begun.
            Lie(
                said="certificates of offices that are not above",
                messages=self.of_epoch(1, foreign),
                trace=f"SELECT 1 FROM peer WHERE code IN ('38', '{self.neighbour.code}')",
                ends=False,
            ),
        ]

    def of_epoch(self, epoch: int, leaves: Sequence[bytes]) -> tuple[bytes, ...]:
        """Return the messages that bring leaves of a later log under their true head."""
        log = log_id(self.me.peer_id, self.purpose, epoch)
        signed = self.me.sign(head_text(self.me.code, log, leaves))
        return (
            self.hello(len(leaves), epoch=epoch),
            write(FRAME, b"\0", 2, 0, CODING_PLAIN, list(leaves)),
            write(HEAD, b"\0", len(leaves), root_of(leaves), signed),
        )


def _signer(folder: NodeFolder) -> Signer:
    own = folder.subject
    return Signer(
        tier=own.tier.value,
        code=own.code,
        name=own.name,
        peer_id=own.peer_id,
        chain=chain_to_der(folder.chain),
        sign=folder.key.sign,
    )


async def _cosignatures(world: World, report: Report, scene: _Scene) -> None:
    """Countersign a commune's log by another hand, or with another story.

    Each time another commune's: a log that was answered falsely may be stopped.
    """
    for number, (said, signer) in enumerate(
        {
            "made of zeros": None,
            "by a commune in the province's name": scene.neighbour,
            "over another tree": scene.me,
        }.items()
    ):
        code = f"40.1713{number}"
        folder = world.folder / code
        await asyncio.to_thread(make_commune, folder, world.province.folder, code)
        answer, kept = await _countersigned(folder, scene, signer)
        shown = f"{answer or 'the link stays'}, {kept} kept"
        report.tried(f"a parent's cosignature {said}", shown, refused=bool(answer) and not kept)


async def _countersigned(folder: Path, scene: _Scene, signer: Signer | None) -> tuple[str, int]:
    subject = open_folder(folder).subject

    async def serve(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        with contextlib.suppress(ConnectionError, TypeError):
            await socket.send_bytes(write(HELLO, 1, now_ms(), 0, [], []))
            size = await _size_said(socket)
            log = log_id(subject.peer_id, "up", 0)
            text = head_text(subject.code, log, [b"false"] * size)
            sign = signer.sign if signer else lambda _: bytes(64)
            one = [b"", size, now_ms() // 1_000, sign(cosigned_text(text, now_ms() // 1_000))]
            await socket.send_bytes(write(ACK, b"\0", size, [], [one]))
            async for _ in socket:
                continue
        return socket

    async with serving(serve, server_context(scene.province)) as port:
        set_parent(folder, port)
        async with running(folder) as commune:
            await commune.register("Đất rẫy")
            return await _ending(commune, _TOLD_S), await commune.count("cosignature")


async def _size_said(socket: web.WebSocketResponse) -> int:
    """Return the size of the first tree head that the commune says."""
    while True:
        came = await socket.receive(timeout=_TOLD_S)
        if came.type is not aiohttp.WSMsgType.BINARY:
            raise TypeError("the link is closed")
        for kind, items in read(came.data):
            if kind == HEAD:
                return int(items[1])


async def _older(report: Report, folder: Path, scene: _Scene) -> None:
    """Send a true record, then another past of the same log: it is stopped, and what came stays."""
    held = "SELECT hash FROM change ORDER BY hash"
    true = Lie(said="", messages=scene.of_epoch(2, scene.true), trace=held, ends=False)
    _, before = await _told(folder, scene.province, true)
    report.holds("a true record of the province is taken", good=len(before) == 1)
    draft = forger.Draft(forger.actor(scene.me), "person")
    anew = [*scene.true[:2], forger.change(draft.first, hlc=forger.HLC + 1), scene.true[2]]
    for said, past in {"written anew": anew, "cut back and written anew": anew[:3]}.items():
        lie = Lie(said=said, messages=scene.of_epoch(2, past), trace=held, ends=False)
        code, now = await _told(folder, scene.province, lie)
        report.tried(f"a parent's log that was {said}", code or "open", refused=now == before)
