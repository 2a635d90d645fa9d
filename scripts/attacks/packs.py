"""Packs on a stick that was in other hands: old, altered, cut short, sealed again, for others."""

import asyncio
import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from aiohttp import FormData

from crypto.certificates import chain_to_der
from crypto.sealed_stream import MAGIC, StreamSealer, head_bytes, read_head
from node.clock import Clock
from node.entropy import system_entropy, system_rng
from node.folder import NodeFolder, open_folder
from node.pack_imports import alone, import_packs
from node.packs import SUFFIX
from node.station import opened_station
from schemas.codes import Role
from schemas.wire import Frame, Head, Hello, Offer
from scripts.attacks.caller import Caller
from scripts.attacks.report import Report
from scripts.attacks.world import World
from sync.pack_entries import About, End, Messages, encode_entry
from tests.independent import forger
from tests.node.sticks import Country, attach, parts, register, truth

_PIECE_BYTES: Final = (64 << 10) + 16
_PREFIX_BYTES: Final = 20
_LOOK_S: Final = 0.05
_LOOKS_MAX: Final = 600


async def attack(world: World, report: Report) -> None:
    """Take such packs in by the command and at a running node's page."""
    await asyncio.to_thread(_by_command, world, report)
    await _by_page(world, report)


def _by_command(world: World, report: Report) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        scene = _Scene(world.folder / "sticks")
    for receiver, said, data in scene.packs():
        answer, changed = _taken(scene, receiver, data)
        refused = bool(answer) and not changed
        report.tried(f"a pack {said}", answer or "taken", refused=refused)
    for said, data in {"taken in before": scene.second, "older than that": scene.first}.items():
        _, changed = _taken(scene, scene.country.province, data)
        shown = f"changed: {', '.join(changed) or 'nothing'}"
        report.tried(f"a pack {said}", shown, refused=not changed)
    answer, changed = _taken(scene, scene.country.province, scene.of_another_commune())
    report.tried("a pack with a neighbour's log in it", answer or "taken", refused=not changed)


def _taken(scene: "_Scene", receiver: Path, data: bytes) -> tuple[str, list[str]]:
    """Return the code of the refusal, and which tables changed; what is said of it may."""
    path = scene.country.folder / f"attack{SUFFIX}"
    path.write_bytes(data)
    before = truth(receiver)
    with opened_station(receiver, system_rng()) as station:
        done = import_packs(station, [path], alone(station, Clock().now_ms), lambda _: None)
    now = truth(receiver)
    said = [taken.refusal.code for taken in done.taken if taken.refusal is not None]
    said += [code for taken in done.taken for _, code, _ in taken.outcome.problems]
    return ",".join(said), [
        name for name in before if name != "alarm" and before[name] != now[name]
    ]


class _Scene:
    """Offices that meet by sticks, and two packs of a commune that its province took in."""

    def __init__(self, folder: Path) -> None:
        self.country = country = Country(folder)
        attach(country.commune, system_entropy(200_000))
        self.first = self._pack()
        register(country.commune, "Sau")
        self.second = self._pack()
        for data in (self.first, self.second):
            _taken(self, country.province, data)

    def _pack(self) -> bytes:
        (part,) = parts(self.country.export(self.country.commune))
        return part.read_bytes()

    def packs(self) -> Iterator[tuple[Path, str, bytes]]:
        """Yield who is given a pack, what is wrong with it, and the pack."""
        country, whole = self.country, self.first
        for said, other in {
            "for another office, at the centre": country.centre,
            "for another office, at a neighbour": country.neighbour,
            "for another office, at its sender": country.commune,
        }.items():
            yield other, said, whole
        at = head_bytes(whole[:_PREFIX_BYTES])
        for said, place in {
            "its first letter": 0,
            "its length": len(MAGIC),
            "its receiver": _PREFIX_BYTES + 3,
            "its sealed key": at - 100,
            "its signature": at - 1,
            "its first piece": at,
            "a piece in the middle": at + _PIECE_BYTES + 9,
            "its last byte": len(whole) - 1,
        }.items():
            altered = bytearray(whole)
            altered[place] ^= 1
            yield country.province, f"altered in {said}", bytes(altered)
        for said, end in {
            "before its head": 10,
            "in its head": at - 10,
            "behind its head": at,
            "between two pieces": at + _PIECE_BYTES,
            "by one byte": len(whole) - 1,
        }.items():
            yield country.province, f"cut short {said}", whole[:end]
        yield country.province, "with more behind its end", whole + b"\0"
        yield country.province, "with the body of another", whole[:at] + self.second[at:]
        one, two = whole[at:][:_PIECE_BYTES], whole[at + _PIECE_BYTES :][:_PIECE_BYTES]
        rest = whole[at + 2 * _PIECE_BYTES :]
        yield country.province, "with two pieces in turned order", whole[:at] + two + one + rest
        yield from self._sealed_again(at)

    def _sealed_again(self, at: int) -> Iterator[tuple[Path, str, bytes]]:
        """Yield packs that somebody else made of one, or in the name of its sender."""
        country, head = self.country, read_head(self.first[:at])
        commune, thief = open_folder(country.commune), open_folder(country.neighbour)
        clear = self.first[: at - 64]
        signed = clear + thief.key.sign(clear) + self.first[at:]
        yield country.province, "that somebody else signed", signed
        office = open_folder(country.province).key.office_public
        own = StreamSealer(thief.key, chain_to_der(thief.chain), office, head.about, bytes(32))
        stolen = read_head(own.head).clear + head.sealed_key
        named = stolen + thief.key.sign(stolen) + self.first[at:]
        yield country.province, "whose body somebody else calls his own", named
        to_province = self._sealer(thief, commune)
        yield country.province, "that somebody else sealed in its sender's name", to_province
        centre, far = open_folder(country.centre), open_folder(country.commune)
        forged = _sealed(far, chain_to_der(far.chain), centre.key.office_public, b"")
        yield country.centre, "of a commune for the centre", forged

    def _sealer(self, thief: NodeFolder, sender: NodeFolder) -> bytes:
        office = open_folder(self.country.province).key.office_public
        return _sealed(thief, chain_to_der(sender.chain), office, b"")

    def of_another_commune(self) -> bytes:
        """Return a pack of the neighbour's that holds a log of the commune."""
        owner, sender = open_folder(self.country.commune), open_folder(self.country.neighbour)
        offer = Offer(owner=owner.subject.peer_id, purpose="up", epoch=3, from_seq=0, size=1)
        leaf = forger.certificates(chain_to_der(owner.chain))
        messages = (
            Hello(version=1, now_ms=Clock().now_ms(), offers=(offer,)),
            Frame(log=b"\0", priority=2, first_seq=0, leaves=(leaf,)),
            Head(log=b"\0", size=1, root=bytes(32), signature=bytes(64)),
        )
        office = open_folder(self.country.province).key.office_public
        chain = chain_to_der(sender.chain)
        return _sealed(sender, chain, office, encode_entry(Messages(messages)))


def _sealed(signer: NodeFolder, chain: list[bytes], office: bytes, entries: bytes) -> bytes:
    about = About(pack_id=system_entropy(16), part=1, made_ms=Clock().now_ms(), receiver="40")
    made = StreamSealer(signer.key, chain, office, about.encode(), system_entropy(32))
    return made.head + made.update(entries + encode_entry(End(True))) + made.finish()


async def _by_page(world: World, report: Report) -> None:
    """Hand packs in at the page of a running province, of which none is for it or whole."""
    own = open_folder(world.province.folder)
    far = open_folder(world.folder / "other-province")
    near = open_folder(world.folder / "commune")
    office = own.key.office_public
    good = _sealed(near, chain_to_der(near.chain), office, b"")
    makers: dict[str, Callable[[], bytes]] = {
        "of another country": lambda: _sealed(far, chain_to_der(far.chain), office, b""),
        "for another office": lambda: _sealed(
            near, chain_to_der(near.chain), near.key.office_public, b""
        ),
        "that is cut short": lambda: good[:-1],
        "that is none": lambda: b"%PDF-1.7",
    }
    async with world.signed_in(Role.PROVINCE_ADMIN, "province") as technician:
        for said, make in makers.items():
            form = FormData()
            form.add_field("file", make(), filename=f"pack{SUFFIX}")
            await technician.ask("POST", "/api/v1/packs/taken", form)
            job = await _ended(technician)
            [taken] = job["taken"]
            answer = (taken["refusal"] or {}).get("code", "taken")
            report.tried(f"a pack at the page {said}", answer, refused=answer != "taken")


async def _ended(caller: Caller) -> dict[str, Any]:
    for _ in range(_LOOKS_MAX):
        job: dict[str, Any] = (await caller.ask("GET", "/api/v1/packs")).body["job"]
        if job["ended_ms"]:
            return job
        await asyncio.sleep(_LOOK_S)
    raise TimeoutError("the job with the pack does not end")
