"""Announces dozens of things with hostile names and texts, and as many damaged packets.

`python -m tests.lan.flood ADDRESS`; the packets are written here byte by byte (RFC 1035), so that
they may break what a library would not let pass.
"""

import random
import socket
import struct
import sys

from tests.simulation.damage import damaged

_GROUP = ("224.0.0.251", 5353)
_THINGS = 60
_TTL_S = 120
_PTR, _TXT, _SRV, _A = 12, 16, 33, 1
_NAMES = (
    b"<script>alert(1)</script>",
    "Máy in\u202e nghịch".encode(),
    b"\x1b[31m\r\nSet-Cookie: x",
    b"\xff\xfe\xfa",
    b"../../etc/passwd",
    b"a" * 63,
    b"{{ 7 * 7 }}",
    b"",
)
_TYPES = (b"_ipp", b"_uscan", b"_rtsp", b"_tiepdan")
_ADDRESSES = ("8.8.8.8", "127.0.0.1", "10.79.0.1", "10.79.0.77", "0.0.0.0", "224.0.0.251")


def name(*labels: bytes) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def record(owner: bytes, kind: int, data: bytes) -> bytes:
    return owner + struct.pack(">HHIH", kind, 1, _TTL_S, len(data)) + data


def announcement(rng: random.Random) -> bytes:
    service = (rng.choice(_TYPES), b"_tcp", b"local")
    label = (rng.choice(_NAMES) + str(rng.randrange(1_000)).encode())[-63:]
    instance = name(label, *service)
    host = name(rng.choice([b"may-in", b"<b>", b"\xff", b"x" * 63]), b"local")
    texts = [b"ty=" + rng.choice(_NAMES), b"id=" + rng.randbytes(32), b"fp=" + b"0" * 64]
    texts += [b"tier=commune", b"code=40.17083", rng.randbytes(rng.randrange(60))]
    answers = [
        record(name(*service), _PTR, instance),
        record(instance, _SRV, struct.pack(">HHH", 0, 0, rng.randrange(65_536)) + host),
        record(instance, _TXT, b"".join(bytes([len(text)]) + text for text in texts)),
        record(host, _A, socket.inet_aton(rng.choice(_ADDRESSES))),
    ]
    return struct.pack(">HHHHHH", 0, 0x8400, 0, len(answers), 0, 0) + b"".join(answers)


def main(address: str) -> None:
    rng = random.Random(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sender.bind((address, _GROUP[1]))
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        for _ in range(_THINGS):
            packet = announcement(rng)
            sender.sendto(packet, _GROUP)
            sender.sendto(damaged(rng, packet), _GROUP)


if __name__ == "__main__":
    main(sys.argv[1])
