"""Holds one end of the line: a network namespace with a TUN device, alive until its parent is gone.

Run as a process of its own: `python -m scripts.lab.holder FD ADDRESS PEER`. It makes its namespace
(and a user namespace around it when it is not root), hands the device over the socket FD, and
waits there until the other end closes.
"""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Final

_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
# linux/if_tun.h
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
DEVICE: Final = "line0"


def main(arguments: list[str]) -> int:
    """Make the namespace, hand over its device, and wait; 1 if it is not allowed."""
    descriptor, address, peer = int(arguments[0]), arguments[1], arguments[2]
    with socket.socket(fileno=descriptor) as parent:
        try:
            _enter_namespaces()
            device = _open_device()
            _configure(address, peer)
        except (OSError, subprocess.CalledProcessError) as error:
            parent.send(f"network namespaces are not allowed here: {error}".encode())
            return 1
        socket.send_fds(parent, [b"ready"], [device])
        os.close(device)
        parent.recv(1)
    return 0


def _enter_namespaces() -> None:
    """Make a network namespace, inside a user namespace where that takes one.

    Raises:
        OSError: neither is allowed.
    """
    try:
        _unshare(_CLONE_NEWNET)
    except PermissionError:
        user, group = os.geteuid(), os.getegid()
        _unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def _unshare(flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _open_device() -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI)
    fcntl.ioctl(device, _TUNSETIFF, request)
    return device


def _configure(address: str, peer: str) -> None:
    for command in (
        ["link", "set", "lo", "up"],
        ["address", "add", address, "peer", peer, "dev", DEVICE],
        ["link", "set", DEVICE, "txqueuelen", "1000", "up"],
    ):
        subprocess.run(["ip", *command], check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
