"""Goal: programs in the two hosts see the line they were promised, and nothing of it stays behind.

Method: real namespaces, real sockets, real time; bounds are wide, because the machine is shared.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.lab.lab import FAR_ADDRESS, Host, Lab, open_lab
from scripts.lab.line import Shape

pytestmark = pytest.mark.serial

ECHO = f"""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.bind(("{FAR_ADDRESS}", 7))
    print("up", flush=True)
    while True:
        data, sender = s.recvfrom(2000)
        s.sendto(data, sender)
"""
PING = f"""
import socket, sys, time
count, size, every = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(2.0)
    began, back = time.monotonic(), 0
    for number in range(count):
        s.sendto(bytes(size), ("{FAR_ADDRESS}", 7))
        time.sleep(every)
    try:
        while back < count:
            s.recv(2000)
            back += 1
            last = time.monotonic() - began
    except TimeoutError:
        pass
print(back, last if back else 0)
"""


def ping(lab: Lab, count: int, size: int = 100, every_s: float = 0.0) -> tuple[int, float]:
    """Return how many answers came, and after which time the last one did."""
    told = lab.near.run(
        [sys.executable, "-c", PING, str(count), str(size), str(every_s)],
        capture_output=True,
        text=True,
    )
    back, last_s = told.stdout.split()
    return int(back), float(last_s)


def echo(host: Host) -> None:
    process = host.start([sys.executable, "-c", ECHO], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as told:
        assert told.readline() == b"up\n"


def test_the_round_trip_takes_the_delay_and_the_rate() -> None:
    shape = Shape(rate_bps=64_000, delay_ms=150)
    with open_lab(shape) as lab:
        echo(lab.far)
        back, last_s = ping(lab, 1)
        assert back == 1
        assert 0.3 <= last_s < 0.6
        back, last_s = ping(lab, 10, size=972)
        assert back == 10
        # 10 packets of 1,000 B at 8,000 B/s, then one more on the way back, and the delays.
        assert 1.25 + 0.125 + 0.3 <= last_s < 2.2
        traffic = lab.traffic()
        assert traffic.up.bytes >= 128 + 10 * 1_000
        assert traffic.up.packets == traffic.down.packets


def test_packets_are_lost_as_told() -> None:
    with open_lab(Shape(loss=0.5), Shape(), seed=3) as lab:
        echo(lab.far)
        back, _ = ping(lab, 400, every_s=0.001)
        assert 120 < back < 280
        assert lab.traffic().up.lost == 400 - back


def test_a_cut_line_is_silent_and_comes_back() -> None:
    with open_lab() as lab:
        echo(lab.far)
        lab.cut(True)
        assert ping(lab, 2)[0] == 0
        lab.cut(False)
        assert ping(lab, 2)[0] == 2
        lab.schedule([(0.0, 0.5)])
        deadline_s = time.monotonic() + 20
        while ping(lab, 1)[0] == 0:
            assert time.monotonic() < deadline_s
        assert lab.traffic().up.cut >= 2


def test_nothing_of_a_lab_stays_behind() -> None:
    with open_lab() as lab:
        left = lab.far.start(["sleep", "600"])
        holders = [lab.near.pid, lab.far.pid]
        network = Path(f"/proc/{lab.near.pid}/ns/net").readlink()
    assert left.poll() is not None
    assert not any(Path(f"/proc/{pid}").exists() for pid in holders)
    for process in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            assert process.readlink() != network
        except OSError:
            # It ended while we looked.
            continue


def test_it_works_without_being_root(tmp_path: Path) -> None:
    story = (
        "from scripts.lab.lab import open_lab\n"
        "with open_lab() as lab:\n"
        "    done = lab.near.run(['ip', '-brief', 'address'], capture_output=True, text=True)\n"
        "    print(done.stdout, done.stderr)\n"
    )
    command = [sys.executable, "-P", "-c", story]
    if os.geteuid() == 0:
        command = ["unshare", "--mount", "sh", "-euc", AS_NOBODY, str(tmp_path / "tun"), *command]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "10.77.0.1" in told.stdout, told.stdout + told.stderr


# Nobody, who may read this program wherever it is, and a device open to all, as on a desktop.
AS_NOBODY = """
mknod --mode=666 "$0" c 10 200
mount --bind "$0" /dev/net/tun
exec setpriv --reuid=65534 --regid=65534 --clear-groups \\
    --inh-caps=+dac_read_search --ambient-caps=+dac_read_search "$@"
"""
