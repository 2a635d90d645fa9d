"""What strangers announce is shown cleaned, or not at all; a node knocks at no address outside."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.site import is_private
from node.sightings import KINDS, NAME_CHARS_MAX, NODE_TYPE, Announcement, clean, sighting_of

IPP = "_ipp._tcp.local."
NODE = Announcement(
    node_id="ab" * 32, tier="commune", code="40.17083", fingerprint="cd" * 32, version="0.1.0"
)
TXT: dict[bytes, bytes | None] = {
    key.encode(): value.encode() for key, value in NODE.properties().items()
}


@given(
    service=st.sampled_from([*KINDS, "_ssh._tcp.local.", ""]),
    name=st.text(max_size=300),
    host=st.one_of(
        st.text(max_size=80), st.from_regex(r"\A[a-z-]{0,70}\.(local|vn)\.\Z"), st.just("pc.local.")
    ),
    addresses=st.lists(st.one_of(st.text(max_size=20), st.ip_addresses().map(str)), max_size=4),
    port=st.integers(-1, 70_000),
    properties=st.dictionaries(
        st.one_of(st.binary(max_size=5), st.sampled_from([*TXT, b"ty"])),
        st.one_of(st.none(), st.binary(max_size=255), st.sampled_from(list(TXT.values()))),
        max_size=8,
    ),
)
def test_whatever_is_announced_is_cleaned_or_left_out(
    service: str,
    name: str,
    host: str,
    addresses: list[str],
    port: int,
    properties: dict[bytes, bytes | None],
) -> None:
    found = sighting_of(service, name, host, addresses, port, properties)
    if found is None:
        return
    assert is_private(ip_address(found.address))
    assert found.host.endswith(".local")
    assert found.host.isascii()
    assert 0 < found.port < 65_536
    assert (found.kind == "node") == (found.node is not None)
    texts = [found.name, found.model, found.host]
    if found.node is not None:
        texts += list(found.node.properties().values())
    for text in texts:
        assert text.isprintable()
        assert len(text) <= 253
    assert 0 < len(found.name) <= NAME_CHARS_MAX or found.name == found.host


@given(st.text(max_size=300))
def test_a_foreign_text_is_one_short_line_that_turns_nothing_around(text: str) -> None:
    shown = clean(text)
    assert shown.isprintable()
    assert len(shown) <= NAME_CHARS_MAX
    assert clean(shown) == shown


def test_a_node_is_read_as_it_announces_itself() -> None:
    found = sighting_of(
        NODE_TYPE,
        f"tiepdan-40-17083.{NODE_TYPE}",
        "Tiepdan-40-17083.local.",
        ["10.0.0.9"],
        8444,
        TXT,
    )
    assert found is not None
    assert found.node == NODE
    assert (found.name, found.host) == ("tiepdan-40-17083", "tiepdan-40-17083.local")


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "127.0.0.1", "0.0.0.0", "224.0.0.251", "2001:db8::1", "::1", "x"]
)
def test_an_address_outside_the_lan_is_not_knocked_at(address: str) -> None:
    assert sighting_of(IPP, f"In.{IPP}", "in.local.", [address], 631, {}) is None


@pytest.mark.parametrize("key", [b"id", b"tier", b"code", b"fp"])
def test_a_node_that_does_not_say_who_it_is_is_left_out(key: bytes) -> None:
    for value in (None, b"", b"\xff" * 64, b"zz" * 32, b"AB" * 33):
        said = {**TXT, key: value}
        assert sighting_of(NODE_TYPE, f"x.{NODE_TYPE}", "x.local.", ["10.0.0.9"], 1, said) is None


def test_marks_that_turn_the_direction_of_writing_are_taken_out() -> None:
    assert clean("Máy\u202ein\x1b[31m \t\n ở\u2066 sân") == "Máyin[31m ở sân"
