"""Debian's avahi on one host of the lab, with a message bus of its own."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.lab.ethernet import DEVICE
from scripts.lab.lab import Host

_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/>
<allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>
"""
_SETTINGS = f"""[server]
allow-interfaces={DEVICE}
use-ipv6=no
[publish]
publish-workstation=no
"""
# It keeps its socket and its number in /run, which the machine's own may use.
_START = (
    "mount -t tmpfs none /run && mkdir /run/avahi-daemon"
    " && exec avahi-daemon --no-drop-root --no-chroot --no-rlimits -f {settings}"
)
_UP_S = 15.0


class Avahi:
    """Its commands."""

    def __init__(self, host: Host, environment: dict[str, str]) -> None:
        self._host = host
        self._environment = environment

    def __call__(self, *arguments: str) -> str:
        """Return what `avahi-browse` lists."""
        done = self._host.run(
            ["avahi-browse", *arguments], capture_output=True, text=True, env=self._environment
        )
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    @contextmanager
    def publishing(self, name: str, service: str, port: int, *texts: str) -> Iterator[None]:
        """Announce something meanwhile."""
        process = self._host.start(
            ["avahi-publish", "-s", name, service, str(port), *texts],
            env=self._environment,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()


@contextmanager
def avahi(host: Host, folder: Path) -> Iterator[Avahi]:
    """Run the daemon on a host."""
    folder.mkdir()
    bus, settings, configured = folder / "bus", folder / "avahi.conf", folder / "bus.conf"
    configured.write_text(_BUS.format(path=bus))
    settings.write_text(_SETTINGS)
    # Debian keeps daemons where only root's path leads.
    path = f"{os.environ['PATH']}:/usr/sbin"
    environment = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={bus}", "PATH": path}
    daemon = host.start(["dbus-daemon", f"--config-file={configured}", "--nofork", "--nopidfile"])
    _wait_for(bus.exists)
    start = ["unshare", "--mount", "sh", "-c", _START.format(settings=settings)]
    process = host.start(start, env=environment, stderr=subprocess.DEVNULL)
    command = Avahi(host, environment)

    def is_up() -> bool:
        asked = ["avahi-browse", "-at"]
        return host.run(asked, env=environment, capture_output=True).returncode == 0

    _wait_for(is_up)
    try:
        yield command
    finally:
        process.terminate()
        process.wait()
        daemon.terminate()
        daemon.wait()


def _wait_for(is_there: Callable[[], bool]) -> None:
    ends = time.monotonic() + _UP_S
    while not is_there():
        assert time.monotonic() < ends, "avahi did not start"
        time.sleep(0.1)
