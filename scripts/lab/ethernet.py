"""Two hosts on one Ethernet, where multicast works: namespaces joined by a pair of veth devices."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from scripts.lab.lab import Host, LabError

NEAR_ADDRESS = "10.79.0.1"
FAR_ADDRESS = "10.79.0.2"
DEVICE = "lan0"


@contextmanager
def open_ethernet() -> Iterator[tuple[Host, Host]]:
    """Set up both hosts; they vanish afterwards, with whatever still runs there.

    Raises:
        LabError: network namespaces are not allowed here.
    """
    with ExitStack() as stack:
        alone = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        near = _hold(stack, NEAR_ADDRESS, ["unshare", *alone, "--net"])
        far = _hold(stack, FAR_ADDRESS, near.command(["unshare", "--net"]))
        _ip(near, f"link add {DEVICE} type veth peer name {DEVICE} netns {far.pid}")
        for host in (near, far):
            _ip(host, "link set lo up")
            _ip(host, f"address add {host.address}/24 dev {DEVICE}")
            _ip(host, f"link set {DEVICE} up")
        yield near, far


def _hold(stack: ExitStack, address: str, unshare: Sequence[str]) -> Host:
    holder = subprocess.Popen(
        [*unshare, "sh", "-c", "echo ready; exec sleep infinity"], stdout=subprocess.PIPE
    )
    stack.enter_context(holder)
    stack.callback(holder.kill)
    assert holder.stdout is not None
    if holder.stdout.readline() != b"ready\n":
        raise LabError("network namespaces are not allowed here")
    host = Host(address, holder.pid)
    stack.callback(host.close)
    return host


def _ip(host: Host, command: str) -> None:
    done = host.run(["ip", *command.split()], capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"ip {command}: {done.stderr.strip()}")
