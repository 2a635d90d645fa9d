"""The process between the two ends: moves packets from one TUN device to the other, as a line does.

Run as a process of its own: `python -m scripts.lab.emulator CONTROL NEAR FAR SEED`, three inherited
descriptors. Commands are JSON lines on CONTROL, each answered by one line:
`{"shape": [up, down]}`, `{"cut": true}`, `{"schedule": [[from_s, to_s], ...]}`, `{"counts": null}`,
`{"cut_after": bytes}` that arrived from the near end, `{"is_cut": null}`.
"""

import json
import os
import random
import select
import socket
import sys
import time
from collections import deque
from dataclasses import asdict
from typing import Any, Final

from scripts.lab.line import Line, Shape

_PACKET_BYTES: Final = 65_536
_IDLE_S: Final = 1.0
# So many packets are taken at once before arrivals are looked at again.
_BATCH: Final = 64


class Emulator:
    """Two lines, the devices at their ends, and what the controller wants of them."""

    def __init__(self, near: int, far: int, control: socket.socket, seed: int) -> None:
        """Start with a line that is as fast as the machine."""
        self._control = control
        self._text = b""
        rng = random.Random(seed)
        self.lines = {near: Line(Shape(), rng), far: Line(Shape(), rng)}
        self._exits = {near: far, far: near}
        self._up = self.lines[near]
        # When to cut (True) or mend (False), soonest first.
        self._schedule: deque[tuple[float, bool]] = deque()

    def run(self) -> None:
        """Move packets until the controller is gone."""
        watch = select.poll()
        for descriptor in (*self.lines, self._control.fileno()):
            watch.register(descriptor, select.POLLIN)
        while True:
            for descriptor, _ in watch.poll(self._wait_ms()):
                if descriptor != self._control.fileno():
                    self._take(descriptor)
                elif not self._obey():
                    return
            self._follow_schedule()
            self._deliver()

    def _wait_ms(self) -> float:
        times = [line.next_s() for line in self.lines.values()]
        times += [self._schedule[0][0] if self._schedule else None]
        due_s = min((at_s for at_s in times if at_s is not None), default=None)
        wait_s = _IDLE_S if due_s is None else max(0.0, due_s - time.monotonic())
        return min(wait_s, _IDLE_S) * 1000

    def _take(self, descriptor: int) -> None:
        line = self.lines[descriptor]
        for _ in range(_BATCH):
            try:
                packet = os.read(descriptor, _PACKET_BYTES)
            except BlockingIOError:
                return
            line.offer(packet, time.monotonic())

    def _deliver(self) -> None:
        now_s = time.monotonic()
        for entrance, line in self.lines.items():
            for packet in line.due(now_s):
                os.write(self._exits[entrance], packet)
            if line.is_cut:
                # A line that cut itself takes the other direction along.
                self._cut(True)

    def _follow_schedule(self) -> None:
        while self._schedule and self._schedule[0][0] <= time.monotonic():
            self._cut(self._schedule.popleft()[1])

    def _cut(self, is_cut: bool) -> None:
        for line in self.lines.values():
            line.cut(is_cut)

    def _obey(self) -> bool:
        data = self._control.recv(_PACKET_BYTES)
        if not data:
            return False
        *commands, self._text = (self._text + data).split(b"\n")
        for command in commands:
            answer = self._answer(json.loads(command))
            self._control.sendall(json.dumps(answer).encode() + b"\n")
        return True

    def _answer(self, command: dict[str, Any]) -> Any:
        match command:
            case {"shape": shapes}:
                for line, shape in zip(self.lines.values(), shapes, strict=True):
                    line.shape = Shape(**shape)
            case {"cut": bool(is_cut)}:
                self._cut(is_cut)
            case {"schedule": cuts}:
                now_s = time.monotonic()
                starts = [(now_s + from_s, True) for from_s, _ in cuts]
                ends = [(now_s + to_s, False) for _, to_s in cuts]
                self._schedule = deque(sorted([*starts, *ends]))
            case {"cut_after": int(size_bytes)}:
                self._up.cut_after(size_bytes)
            case {"is_cut": _}:
                return self._up.is_cut
            case {"counts": _}:
                return [asdict(line.counts) for line in self.lines.values()]
        return None


if __name__ == "__main__":
    CONTROL, NEAR, FAR, SEED = map(int, sys.argv[1:])
    with socket.socket(fileno=CONTROL) as controller:
        Emulator(NEAR, FAR, controller, SEED).run()
