"""Two hosts on this machine with a bad line between them, for tests, benchmarks and people."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from scripts.lab.line import Counts, Shape

ROOT: Final = Path(__file__).parents[2]
NEAR_ADDRESS: Final = "10.77.0.1"
FAR_ADDRESS: Final = "10.77.0.2"
_ANSWER_S: Final = 10.0
_FREE: Final = Shape()


class LabError(Exception):
    """The lab cannot be set up here; one sentence says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What crossed the line, both directions."""

    up: Counts
    down: Counts

    @property
    def bytes(self) -> int:
        """Bytes offered to the line at the IP layer, both ways."""
        return self.up.bytes + self.down.bytes


class Host:
    """One end of the line.

    Attributes:
        address: its IP address.
        pid: a process in its namespace, for `nsenter`.
    """

    def __init__(self, address: str, pid: int) -> None:
        """Wrap a running holder."""
        self.address = address
        self.pid = pid
        self._started: list[subprocess.Popen[Any]] = []

    def command(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs another inside this host."""
        return ["nsenter", f"--target={self.pid}", *_entered(self.pid), "--", *command]

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program on this host; it is killed with the lab at the latest."""
        process = subprocess.Popen(self.command(command), **options)
        self._started.append(process)
        return process

    def run(self, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run a program on this host to its end."""
        return subprocess.run(self.command(command), check=False, **options)

    def close(self) -> None:
        """Kill what still runs here."""
        for process in self._started:
            # Its pipes are closed afterwards.
            with process:
                process.kill()


class Lab:
    """The hosts `near` (a commune, say) and `far` (its province), and the line between them."""

    def __init__(self, near: Host, far: Host, control: socket.socket) -> None:
        """Wrap running processes; use open_lab."""
        self.near = near
        self.far = far
        self._control = control
        self._answers = control.makefile("rb")

    def close(self) -> None:
        """Listen to the emulator no more."""
        self._answers.close()

    def shape(self, up: Shape, down: Shape | None = None) -> None:
        """Shape the line from now on; down is like up unless given."""
        self._tell({"shape": [asdict(up), asdict(down or up)]})

    def cut(self, is_cut: bool) -> None:
        """Cut the line, which loses what is on the way, or mend it."""
        self._tell({"cut": is_cut})

    def cut_after(self, size_bytes: int) -> None:
        """Cut the line once so many more bytes have arrived from the near end."""
        self._tell({"cut_after": size_bytes})

    def is_cut(self) -> bool:
        """Tell whether the line is cut just now."""
        return bool(self._tell({"is_cut": None}))

    def schedule(self, cuts: Sequence[tuple[float, float]]) -> None:
        """Cut from and to these seconds after now, instead of what was planned before."""
        self._tell({"schedule": [list(cut) for cut in cuts]})

    def traffic(self) -> Traffic:
        """Return what crossed the line since the start."""
        up, down = self._tell({"counts": None})
        return Traffic(up=Counts(**up), down=Counts(**down))

    def _tell(self, command: dict[str, Any]) -> Any:
        self._control.sendall(json.dumps(command).encode() + b"\n")
        answer = self._answers.readline()
        if not answer:
            raise LabError("the emulator of the line ended")
        return json.loads(answer)


@contextmanager
def open_lab(up: Shape = _FREE, down: Shape | None = None, *, seed: int = 1) -> Iterator[Lab]:
    """Set up the two hosts and the line; both vanish afterwards, with whatever still runs there.

    Args:
        up: from near to far.
        down: from far to near; like up unless given.
        seed: of losses and jitter.

    Raises:
        LabError: namespaces or TUN devices are not allowed here.
    """
    with ExitStack() as stack:
        near, near_device = _hold(stack, NEAR_ADDRESS, FAR_ADDRESS)
        far, far_device = _hold(stack, FAR_ADDRESS, NEAR_ADDRESS)
        control, inside = socket.socketpair()
        stack.enter_context(control)
        control.settimeout(_ANSWER_S)
        descriptors = [inside.fileno(), near_device, far_device]
        emulator = _python("scripts.lab.emulator", [*descriptors, seed], descriptors)
        stack.callback(_end, emulator)
        stack.callback(control.shutdown, socket.SHUT_RDWR)
        inside.close()
        lab = Lab(near, far, control)
        stack.callback(lab.close)
        lab.shape(up, down)
        yield lab


def _hold(stack: ExitStack, address: str, peer: str) -> tuple[Host, int]:
    """Start the holder of one end; return the host and the descriptor of its device."""
    mine, its = socket.socketpair()
    stack.enter_context(mine)
    with its:
        holder = _python("scripts.lab.holder", [its.fileno(), address, peer], [its.fileno()])
    stack.callback(_end, holder)
    stack.callback(mine.close)
    mine.settimeout(_ANSWER_S)
    said, descriptors, _, _ = socket.recv_fds(mine, 1_000, 1)
    if not descriptors:
        raise LabError(said.decode() or "the holder of a network namespace ended")
    stack.callback(os.close, descriptors[0])
    host = Host(address, holder.pid)
    stack.callback(host.close)
    return host, descriptors[0]


def _python(
    module: str, arguments: Sequence[object], inherited: Sequence[int]
) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", "-m", module, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, pass_fds=inherited)


def _entered(pid: int) -> list[str]:
    """Return which namespaces of the holder to enter: a user namespace only if it has its own."""
    own, other = (Path(f"/proc/{number}/ns/user").readlink() for number in ("self", pid))
    return ["--net"] if own == other else ["--user", "--preserve-credentials", "--net"]


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait()
