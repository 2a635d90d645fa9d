"""Certificates of other places, and what a commune with a good one signs falsely."""

import asyncio
import os
import socket
from typing import Any, Final

import aiohttp
from cryptography import x509

from crypto.certificates import chain_from_der, chain_from_pem, chain_to_der
from node.dtls import Dialling
from node.folder import open_folder
from scripts.attacks.link import contact, outcome, peer_of
from scripts.attacks.report import Report
from scripts.attacks.world import COMMUNE, World, enrolled
from sync.errors import LinkError
from tests.independent import forger
from tests.independent.enrolment import Office
from tests.independent.messages import ACK, HEAD, HELLO, PROBLEM, REVOKED, read, write
from tests.independent.peer import CODING_PLAIN, Peer, head_text, root_of
from tests.independent.peer_link import Contact, now_ms, tls

_DATAGRAM_S: Final = 3.0


async def attack(world: World, report: Report) -> None:
    """Dial with certificates from elsewhere, then lie with a good one, then come by datagrams."""
    offices = {**world.foreign, "nobody but himself": _self_made(world)}
    for said, office in offices.items():
        answer = await _dial(world, office)
        report.tried(f"a certificate of {said}", answer, refused=answer not in ("open", "silence"))
    await _heads(world, report)
    await _cosignatures(world, report)
    await _messages(world, report)
    await _datagrams(world, report)


async def _dial(world: World, office: Office) -> str:
    """Return how a link ends before anything is said on it."""
    try:
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(
                f"wss://127.0.0.1:{world.province.sync_port}/link/1", ssl=office.context
            ) as socket_,
            asyncio.timeout(5),
        ):
            while True:
                came = await socket_.receive()
                if came.type is not aiohttp.WSMsgType.BINARY:
                    return "closed"
                for kind, items in read(came.data):
                    if kind == PROBLEM:
                        return str(items[0])
                    if kind == HELLO:
                        return "open"
    except (aiohttp.ClientError, OSError) as error:
        return type(error).__name__
    except TimeoutError:
        return "silence"


def _self_made(world: World) -> Office:
    """Return the neighbour as the attacker would like to be: certified by nobody but himself."""
    made = Office(world.folder / "self-made", COMMUNE, "Xã Mỹ Lý")
    true = chain_from_der(world.office.me.chain)
    request = x509.load_pem_x509_csr(made.request())
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(true[1].subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(true[0].not_valid_before_utc)
        .not_valid_after(true[0].not_valid_after_utc)
    )
    for extension in true[0].extensions:
        if not isinstance(extension.value, x509.SubjectAlternativeName):
            builder = builder.add_extension(extension.value, extension.critical)
    for extension in request.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            builder = builder.add_extension(extension.value, critical=False)
    forged = builder.sign(made.key, None)
    [root] = chain_from_pem((world.folder / "commune" / "root.pem").read_bytes())
    shown = chain_to_der([forged, *true[1:]])
    made.context = tls(made.folder, made.key, shown, chain_to_der([root])[0])
    return made


def _log(office: Office) -> list[bytes]:
    draft = forger.Draft(forger.actor(office.me))
    return [
        forger.certificates(office.me.chain),
        forger.writer(office.me),
        forger.change(draft.first),
    ]


async def _heads(world: World, report: Report) -> None:
    """Sign a tree head over other leaves than were sent, with another key, or not at all."""
    office = world.office
    leaves = _log(office)
    log = Peer(office.me, office.root, office.root, leaves).log
    true = office.me.sign(head_text(office.code, log, leaves))
    root = root_of(leaves)
    other = head_text(office.code, log, leaves[:2])
    for said, head in {
        "without a signature": (3, root, bytes(64)),
        "with another root": (3, bytes(32), true),
        "with another size": (2, root, true),
        "signed for other leaves": (3, root, office.me.sign(other)),
        "signed by another commune": (
            3,
            root,
            world.foreign["another province"].me.sign(head_text(office.code, log, leaves)),
        ),
    }.items():
        async with contact(world) as link:
            peer = peer_of(world, link, leaves)
            frames = [*peer.send(CODING_PLAIN)][:-1]
            await link.say(peer.greet(now_ms()), *frames, write(HEAD, b"\0", *head))
            answer = await outcome(link)
        report.tried(f"a tree head {said}", answer, refused=answer == "head_forged")


async def _cosignatures(world: World, report: Report) -> None:
    """Countersign what the province sent with a signature that is not ours, or not of this.

    Each time as another commune: a log that was answered falsely is stopped.
    """
    for number, said in enumerate(
        ("made of zeros", "for another time", "in the name of the province")
    ):
        office = enrolled(world.folder, f"false-{number}", f"40.1711{number}", "province")
        async with contact(world, office) as link:
            false, answer = await _cosign_falsely(office, link, said)
        kept = world.rows("province", f"SELECT 1 FROM cosignature WHERE signature = x'{false}'")
        shown = f"{answer}, {'kept' if kept else 'not kept'}"
        report.tried(f"a cosignature {said}", shown, refused=not kept)


async def _cosign_falsely(office: Office, link: Contact, said: str) -> tuple[str, str]:
    """Return the false signature, hexadecimal, and what came of it."""
    peer = Peer(office.me, link.parent, office.root, [])
    await link.say(peer.greet(now_ms()))
    # Hears the province's log for us, and keeps the true answer to itself.
    true = b""
    async with asyncio.timeout(20):
        while not any(down.in_use for down in peer.down.values()):
            for kind, items in await link.hear():
                for answer in peer.take(write(kind, *items), now_ms()):
                    true = answer
    [(_, (reference, have, gaps, [[_, size, seconds, signature]]))] = read(true)
    named = link.parent.key if "province" in said else b""
    false: list[Any] = [named, size, seconds, bytes(64) if "zeros" in said else signature]
    if "time" in said:
        false[2] = seconds + 60
    await link.say(write(ACK, reference, have, gaps, [false]))
    return false[3].hex(), await outcome(link)


async def _messages(world: World, report: Report) -> None:
    """Say things that nobody may say: of logs that were not offered, twice, or nonsense."""
    for said, message in {
        "an acknowledgement of a log that was not offered": write(ACK, bytes(16), 9, [], []),
        "an acknowledgement of more than there is": write(ACK, b"\0", 1 << 40, [], []),
        "a revocation that nobody signed": write(REVOKED, os.urandom(200)),
        "a message of no kind": write(99, b""),
        "another version": write(HELLO, 9, now_ms(), 0, [], []),
    }.items():
        async with contact(world) as link:
            is_hello = "version" in said
            greeting = [] if is_hello else [peer_of(world, link).greet(now_ms())]
            await link.say(*greeting, message)
            answer = await outcome(link)
        report.tried(said, answer, refused=answer != "silence")
    async with contact(world) as link:
        far = write(HELLO, 1, 0, 0, [[b"", "up", 0, 0, 1 << 52, 0, 0]] * 5_000, [])
        await link.say(far)
        answer = await outcome(link)
    report.tried("5,000 offers of one log", answer, refused=answer != "silence")


async def _datagrams(world: World, report: Report) -> None:
    """Send datagrams that are nothing, or a handshake with a certificate from elsewhere."""
    port = world.province.sync_port
    for said, data in {
        "an empty datagram": b"",
        "noise": os.urandom(1_200),
        "64 KB of noise": os.urandom(60_000),
        "a greeting of noise": b"\x16\xfe\xff" + bytes(8) + b"\x00\xc8\x01" + os.urandom(199),
    }.items():
        answers = await _exchange(port, [data])
        heard = sum(map(len, answers))
        report.tried(f"UDP: {said}", f"{heard} bytes back", refused=heard <= len(data))
    for said, folder in {
        "another province": world.folder / "thanh-hoa",
        "another country": world.folder / "other-province",
    }.items():
        answer = await _shake(port, Dialling(open_folder(folder)))
        report.tried(f"UDP: a certificate of {said}", answer, refused=answer != "open")


async def _exchange(port: int, datagrams: list[bytes]) -> list[bytes]:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.setblocking(False)
        line.connect(("127.0.0.1", port))
        for data in datagrams:
            await loop.sock_sendall(line, data)
        heard = []
        try:
            async with asyncio.timeout(0.5):
                while True:
                    heard.append(await loop.sock_recv(line, 65_535))
        except TimeoutError:
            return heard


async def _shake(port: int, dialling: Dialling) -> str:
    """Return how a DTLS handshake ends, seen from the side that dials."""
    loop = asyncio.get_running_loop()
    secured = dialling.dial()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.setblocking(False)
        line.connect(("127.0.0.1", port))
        leaving = secured.begin()
        try:
            async with asyncio.timeout(_DATAGRAM_S):
                while True:
                    for data in leaving:
                        await loop.sock_sendall(line, data)
                    packets, leaving = secured.receive(await loop.sock_recv(line, 65_535))
                    if packets:
                        return "open"
        except LinkError as error:
            return error.code
        except TimeoutError:
            return "silence"
