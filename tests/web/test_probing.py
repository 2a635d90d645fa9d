"""A node that was announced is looked at: whether it is there, and whether its certificate fits."""

from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from node.discovery import probe
from node.sightings import Announcement, Sighting
from tests.lan.middle import between
from tests.web.lan_office import HOST, LanOffice, tell_on_the_lan


def test_what_a_node_shows_is_held_against_what_it_announces(tmp_path: Path) -> None:
    async def story(lan: LanOffice) -> None:
        site = lan.lan.site
        node = Announcement(
            node_id="ab" * 32,
            tier="commune",
            code="40.17083",
            fingerprint=site.fingerprint.hex(),
            version="0.1.0",
        )
        seen = Sighting(
            kind="node",
            service="_tiepdan._tcp.local.",
            name="tiepdan-40-17083",
            host=site.name,
            address=HOST,
            port=lan.lan.port,
            model="",
            node=node,
        )
        assert await probe(seen) == (True, "fits")
        other = replace(node, fingerprint="00" * 32)
        assert await probe(replace(seen, node=other)) == (True, "foreign")
        assert await probe(replace(seen, host="tiepdan-40-16813.local")) == (True, "wrong")
        printer = replace(seen, kind="printer", node=None)
        assert await probe(printer) == (True, "")
        true = site.certificate.public_bytes(Encoding.DER)
        async with between(HOST, 0, (HOST, lan.lan.port), true, shows_own=False) as port:
            assert await probe(replace(seen, port=port)) == (True, "wrong")
        assert await probe(replace(printer, port=port)) == (False, "")
        assert await probe(replace(seen, port=port)) == (False, "")

    tell_on_the_lan(tmp_path, story)
