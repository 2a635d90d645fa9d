"""Bytes over plain TCP, to see the line and the system's congestion control alone.

Processes of their own: `python -m scripts.benchmarks.sync.pipe far ADDRESS PORT` takes what one
connection brings and answers with one byte; `near ADDRESS PORT ALGORITHM BYTES` sends and prints
the seconds from its first byte to that answer, `null` where the system lacks the algorithm.
"""

import json
import socket
import sys
import time
from typing import Final

_WITHIN_S: Final = 180.0
_READ_BYTES: Final = 1 << 16
_DIAL_EVERY_S: Final = 0.05


def _take(address: tuple[str, int]) -> None:
    with socket.create_server(address) as listening:
        listening.settimeout(_WITHIN_S)
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(_WITHIN_S)
            while connection.recv(_READ_BYTES):
                continue
            connection.sendall(b"!")


def _send(address: tuple[str, int], algorithm: str, size_bytes: int) -> float | None:
    with _dialled(address) as connection:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, algorithm.encode())
        except OSError:
            return None
        begun_s = time.monotonic()
        try:
            connection.sendall(bytes(size_bytes))
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)
        except TimeoutError:
            return _WITHIN_S
        return time.monotonic() - begun_s


def _dialled(address: tuple[str, int]) -> socket.socket:
    until_s = time.monotonic() + _WITHIN_S
    while True:
        try:
            return socket.create_connection(address, _WITHIN_S)
        except ConnectionRefusedError:
            if time.monotonic() > until_s:
                raise
            time.sleep(_DIAL_EVERY_S)


if __name__ == "__main__":
    END, ADDRESS, PORT, *REST = sys.argv[1:]
    if END == "far":
        _take((ADDRESS, int(PORT)))
    else:
        print(json.dumps(_send((ADDRESS, int(PORT)), REST[0], int(REST[1]))))
