"""However much is announced, the list is short, and who is there is not pushed out of it."""

from dataclasses import replace

from zeroconf import ServiceStateChange, Zeroconf

from node.clock import Clock
from node.discovery import _WAITING_MAX, SIGHTINGS_MAX, Discovery, Found
from node.sightings import Announcement, Sighting
from node.writer import ChangeCounter

IPP = "_ipp._tcp.local."
ME = Announcement(
    node_id="ab" * 32, tier="commune", code="40.17083", fingerprint="cd" * 32, version="1"
)
PRINTER = Found(
    sighting=Sighting(
        kind="printer",
        service=IPP,
        name="Máy in",
        host="in.local",
        address="10.0.0.9",
        port=631,
        model="",
        node=None,
    ),
    seen_ms=1,
)


def full(found: Found) -> Discovery:
    discovery = Discovery(ME, name="x.local", clock=Clock(), changes=ChangeCounter())
    discovery._found = {(IPP, str(number)): found for number in range(SIGHTINGS_MAX)}
    return discovery


def test_what_only_announces_gives_way_to_what_is_there() -> None:
    untried, there = full(PRINTER), full(replace(PRINTER, checked_ms=1, is_reachable=True))
    assert not untried._has_room()
    assert not there._has_room()
    gone = full(replace(PRINTER, checked_ms=1))
    gone._found[IPP, "0"] = replace(PRINTER, checked_ms=1, is_reachable=True)
    assert gone._has_room()
    assert (IPP, "0") in gone._found
    assert len(gone._found) == SIGHTINGS_MAX - 1


def test_a_flood_waits_in_bounds_and_what_goes_is_forgotten() -> None:
    discovery = full(PRINTER)
    zeroconf = Zeroconf.__new__(Zeroconf)
    for number in range(3 * _WAITING_MAX):
        discovery._hear(zeroconf, IPP, f"flood {number}", ServiceStateChange.Added)
    assert len(discovery._waiting) == _WAITING_MAX
    for number in range(3 * _WAITING_MAX):
        discovery._hear(zeroconf, IPP, f"flood {number}", ServiceStateChange.Removed)
        discovery._hear(zeroconf, IPP, str(number), ServiceStateChange.Removed)
    assert not discovery._waiting
    assert discovery.found() == []
