"""Packs as files: three tiers without a line, and what is refused with nothing kept of it.

Method: enrolled folders and the real command line; files that are cut, altered, or made by hand.
"""

import random
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto.certificates import chain_to_der
from crypto.sealed_stream import StreamSealer, head_bytes
from node import pack_imports
from node.cli import main
from node.clock import Clock
from node.entropy import system_rng
from node.folder import open_folder
from node.packs import SUFFIX
from node.station import opened_station
from sync.pack_entries import About, End, encode_entry
from tests.node.places import DAY_MS
from tests.node.sticks import (
    COMMUNE,
    NEIGHBOUR,
    Country,
    attach,
    count,
    direct,
    held_above,
    parts,
    register,
    take,
    truth,
)


@pytest.fixture
def country(tmp_path: Path) -> Country:
    return Country(tmp_path)


# There and back


def test_three_tiers_work_by_stick_alone(
    country: Country, capsys: pytest.CaptureFixture[str]
) -> None:
    register(country.commune)
    attach(country.commune, b"scan of a paper")
    country.carry(country.commune, country.province)
    country.carry(country.province, country.centre, f"{country.centre / 'chain.pem'}")
    direct(country.centre, COMMUNE)
    country.carry(country.centre, country.province, "40")
    capsys.readouterr()
    country.carry(country.province, country.commune, COMMUNE)
    said = capsys.readouterr().out
    size, province, centre = held_above(country.commune)
    assert size == province == centre
    assert f"The province holds {size} of {size} leaves of this node, {size} more" in said
    assert f"The centre holds {size} of {size} leaves of this node, {size} more" in said
    assert count(country.commune, "directives") == 1
    for data in (country.province, country.centre):
        assert count(data, "cases") == count(country.commune, "cases")
        assert count(data, "blob WHERE complete") == 1
    # Then there is nothing left to take along but thanks.
    capsys.readouterr()
    country.export(country.commune)
    assert "0 leaves of 0 logs" in capsys.readouterr().out


def test_a_pack_says_what_is_in_it(country: Country, capsys: pytest.CaptureFixture[str]) -> None:
    attach(country.commune, bytes(2_000))
    stick = country.export(country.commune)
    said = capsys.readouterr().out
    assert "For Nghệ An (40):" in said
    assert "1 file, 2.0 KiB" in said
    assert "counts as arrived only when" in said
    assert take(country.province, stick) == 0
    said = capsys.readouterr().out
    assert "from Xã 40.17083 (40.17083), part 1, the last: 3 leaves of 1 log, 1 file" in said
    assert "leaves: 3 new, 0 known already" in said
    assert take(country.province, stick) == 0
    said = capsys.readouterr().out
    assert "this part had been taken in before" in said
    assert "leaves: 0 new, 3 known already" in said


def test_packs_of_many_offices_share_a_stick(
    country: Country, capsys: pytest.CaptureFixture[str]
) -> None:
    register(country.commune)
    register(country.neighbour)
    stick = country.export(country.commune)
    for data, to in ((country.neighbour, "parent"), (country.province, "40.17083")):
        chain = f"{country.commune / 'chain.pem'}" if to != "parent" else to
        command = ["pack", "export", "--data", f"{data}", "--to", chain, "--out", f"{stick}"]
        assert main(command) == 0
    assert len(parts(stick)) == 3
    capsys.readouterr()
    assert take(country.province, stick) == 0
    assert "1 pack is for other offices." in capsys.readouterr().out
    assert count(country.province, "visits") == 2


def test_an_export_runs_beside_a_running_node_and_an_import_waits(
    country: Country, capsys: pytest.CaptureFixture[str]
) -> None:
    register(country.commune)
    with opened_station(country.commune, system_rng()):
        stick = country.export(country.commune)
    with opened_station(country.province, system_rng()):
        assert take(country.province, stick) == 1
    said = capsys.readouterr().err
    assert "[folder_in_use]" in said
    assert "Stop the node first" in said
    assert take(country.province, stick) == 0


def test_nothing_is_written_when_there_is_nothing_to_tell(
    country: Country, capsys: pytest.CaptureFixture[str]
) -> None:
    stick = country.stick()
    command = ["pack", "export", "--data", f"{country.commune}", "--out", f"{stick}"]
    assert main(command) == 1
    assert "[pack_empty]" in capsys.readouterr().err
    assert list(stick.iterdir()) == []
    assert take(country.commune, stick) == 1
    assert "[pack_missing]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "to", "code"),
    [
        ("commune", NEIGHBOUR, "receiver_unknown"),
        ("province", "0", "receiver_unknown"),
        ("province", "nowhere.pem", "file_unreadable"),
        ("commune", "centre/chain.pem", "pack_not_a_neighbour"),
        ("commune", "neighbour/chain.pem", "pack_not_a_neighbour"),
        ("commune", "commune/node.toml", "certificate_malformed"),
    ],
)
def test_a_pack_is_for_a_neighbour_that_is_known(
    country: Country, data: str, to: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    register(country.commune)
    name = f"{country.folder / to}" if "/" in to else to
    stick = country.stick()
    command = ["pack", "export", "--data", f"{country.folder / data}", "--to", name]
    assert main([*command, "--out", f"{stick}"]) == 1
    assert f"[{code}]" in capsys.readouterr().err
    assert list(stick.iterdir()) == []


# What is refused


def refused(data: Path, *packs: Path) -> list[str]:
    """Take packs in that must be refused; return the codes, after looking that nothing changed."""
    before = truth(data)
    with opened_station(data, system_rng()) as station:
        imported = pack_imports.import_packs(
            station, packs, pack_imports.alone(station, Clock().now_ms), lambda _: None
        )
    assert truth(data) == before
    codes = [taken.refusal.code for taken in imported.taken if taken.refusal is not None]
    assert len(codes) == len(imported.taken)
    return codes


def test_a_pack_for_somebody_else_is_refused(country: Country) -> None:
    register(country.commune)
    (part,) = parts(country.export(country.commune))
    for data in (country.centre, country.neighbour, country.commune):
        assert refused(data, part) == ["not_a_recipient"]


def test_a_pack_of_a_foreign_root_is_refused(country: Country, tmp_path: Path) -> None:
    abroad = Country(tmp_path / "abroad")
    register(abroad.commune)
    own, theirs = open_folder(country.province), open_folder(abroad.commune)
    part = tmp_path / f"forged{SUFFIX}"
    made = StreamSealer(
        theirs.key,
        chain_to_der(theirs.chain),
        own.key.office_public,
        About(pack_id=bytes(16), part=1, made_ms=1, receiver="40").encode(),
        bytes(range(32)),
    )
    part.write_bytes(made.head + made.update(encode_entry(End(True))) + made.finish())
    assert refused(country.province, part)[0].startswith("certificate_")


def test_a_pack_from_the_wrong_tier_is_refused(country: Country, tmp_path: Path) -> None:
    own, theirs = open_folder(country.centre), open_folder(country.commune)
    part = tmp_path / f"forged{SUFFIX}"
    about = About(pack_id=bytes(16), part=1, made_ms=1, receiver="0").encode()
    chain = chain_to_der(theirs.chain)
    made = StreamSealer(theirs.key, chain, own.key.office_public, about, bytes(range(32)))
    part.write_bytes(made.head + made.update(encode_entry(End(True))) + made.finish())
    assert refused(country.centre, part) == ["pack_not_a_neighbour"]


def test_a_pack_under_a_name_that_is_not_the_signer_s_is_refused(
    country: Country, tmp_path: Path
) -> None:
    own, theirs = open_folder(country.province), open_folder(country.commune)
    part = tmp_path / f"forged{SUFFIX}"
    about = About(pack_id=bytes(16), part=1, made_ms=1, receiver="40").encode()
    chain, thief = chain_to_der(theirs.chain), open_folder(country.neighbour).key
    made = StreamSealer(thief, chain, own.key.office_public, about, bytes(range(32)))
    part.write_bytes(made.head + made.update(encode_entry(End(True))) + made.finish())
    assert refused(country.province, part) == ["signature_wrong"]


def test_what_is_no_pack_is_refused(country: Country, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "other").write_bytes(b"%PDF-1.7 " * 100)
    files = [tmp_path / "empty", tmp_path / "other", tmp_path / "none"]
    codes = refused(country.province, *files)
    assert codes == ["stream_foreign", "stream_foreign", "file_unreadable"]


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> tuple[Country, bytes]:
    """Return a country and a pack of a commune for its province, as bytes."""
    country = Country(tmp_path_factory.mktemp("country"))
    register(country.commune)
    attach(country.commune, random.Random(3).randbytes(200_000))
    (part,) = parts(country.export(country.commune))
    return country, part.read_bytes()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_pack_with_one_altered_byte_is_refused_whole(
    sent: tuple[Country, bytes], data: st.DataObject
) -> None:
    country, whole = sent
    at = data.draw(st.integers(0, len(whole) - 1))
    altered = bytearray(whole)
    altered[at] ^= data.draw(st.integers(1, 255))
    path = country.folder / f"altered{SUFFIX}"
    path.write_bytes(altered)
    assert len(refused(country.province, path)) == 1


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_interrupted_copy_is_refused_whole(
    sent: tuple[Country, bytes], data: st.DataObject
) -> None:
    country, whole = sent
    body = head_bytes(whole[:20])
    pieces = range(body, len(whole), (64 << 10) + 16)
    end = data.draw(st.one_of(st.integers(0, len(whole) - 1), st.sampled_from(pieces)))
    path = country.folder / f"cut{SUFFIX}"
    path.write_bytes(whole[:end])
    (code,) = refused(country.province, path)
    assert code in ("stream_foreign", "stream_damaged", "stream_cut_off")
    if end in pieces:
        assert code == "stream_cut_off"


def test_a_pack_of_a_forked_log_stops_that_log_alone_and_both_sides_hear_of_it(
    country: Country, capsys: pytest.CaptureFixture[str]
) -> None:
    clone = country.folder / "clone"
    shutil.copytree(country.commune, clone)
    register(country.commune, "Đơn thật")
    register(clone, "Đơn khác", count=2)
    country.carry(country.commune, country.province)
    register(country.neighbour)
    held = count(country.province, "leaf")
    capsys.readouterr()
    forked, other = country.export(clone), country.export(country.neighbour)
    assert take(country.province, forked, other) == 1
    assert "[log_forked]" in capsys.readouterr().out
    assert count(country.province, "alarm") == 1
    assert count(country.province, "visits") == 2, "the neighbour's came in"
    assert count(country.province, "leaf") > held, "and nothing that was here is gone"
    assert take(country.commune, country.export(country.province, COMMUNE)) == 1
    assert count(country.commune, "alarm") == 1
    capsys.readouterr()
    stick = country.stick()
    command = ["pack", "export", "--data", f"{country.commune}", "--out", f"{stick}"]
    assert main(command) == 0
    assert "left out: a log of 40.17083, which is stopped (log_forked)" in capsys.readouterr().out


def test_one_bad_part_does_not_keep_the_others_out(
    country: Country, capsys: pytest.CaptureFixture[str]
) -> None:
    register(country.commune)
    register(country.neighbour)
    bad, good = country.export(country.commune), country.export(country.neighbour)
    (part,) = parts(bad)
    part.write_bytes(part.read_bytes()[:-1])
    capsys.readouterr()
    assert take(country.province, bad, good) == 1
    said = capsys.readouterr().out
    assert "refused, nothing of it was taken" in said
    assert "Copy the file again" in said
    assert count(country.province, "visits") == 1


def test_a_sender_whose_certificate_ended_is_told_to_renew_it(
    country: Country, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register(country.commune)
    stick = country.export(country.commune)
    assert take(country.province, stick) == 0
    assert "out of time" not in capsys.readouterr().out
    later_ms = Clock().now_ms() + 400 * DAY_MS
    monkeypatch.setattr(Clock, "now_ms", lambda _: later_ms)
    assert take(country.province, stick) == 0, "what was signed in time stays valid"
    assert "its certificate is out of time: have it renewed" in capsys.readouterr().out
