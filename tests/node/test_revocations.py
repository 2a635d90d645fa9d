"""Goal: a technician ends the trust in a stolen machine, and everybody can see what counts.

Method: enrolled folders and the commands as they are typed; nodes on loopback over real TLS.
"""

import asyncio
from pathlib import Path

import pytest

from node.cli import main
from node.clock import Clock
from node.entropy import system_rng
from node.station import opened_station
from schemas.ids import document_text
from tests.node.places import make_centre, make_commune, make_province, running, set_parent
from tests.node.sticks import COMMUNE, NEIGHBOUR, Country, count, direct, officer, register, take

REASON = "Máy bị mất trộm ngày 20/11"


@pytest.fixture
def country(tmp_path: Path) -> Country:
    return Country(tmp_path)


def revoke(data: Path, node: str, *more: str) -> int:
    return main(["revoke", "--data", f"{data}", node, "--reason", REASON, *more])


def codes(data: Path) -> list[str]:
    with opened_station(data, system_rng(), alone=False) as station:
        return [row[0] for row in station.connection.execute("SELECT code FROM dead_letter")]


def record(data: Path, file: Path) -> None:
    """Export the first case of a node."""
    with opened_station(data, system_rng(), alone=False) as station:
        (case,) = station.connection.execute(
            "SELECT id FROM document WHERE kind = 'case' ORDER BY id"
        ).fetchone()
    case_id = document_text(case)
    assert main(["export", "--data", f"{data}", case_id, f"{file}"]) == 0


def test_what_a_stolen_machine_sends_later_counts_nowhere(
    country: Country, capsys: pytest.CaptureFixture[str]
) -> None:
    register(country.commune, "Trước")
    country.carry(country.commune, country.province)
    country.carry(country.province, country.centre, f"{country.centre / 'chain.pem'}")
    assert revoke(country.province, COMMUNE) == 0
    said = capsys.readouterr().out
    assert "Revoked: the key" in said
    assert f"Xã {COMMUNE} ({COMMUNE})" in said
    register(country.commune, "Sau")
    stick = country.export(country.commune)
    assert take(country.province, stick) == 0
    assert REASON in capsys.readouterr().out
    assert count(country.province, "cases") == 1
    country.carry(country.province, country.centre, f"{country.centre / 'chain.pem'}")
    assert count(country.centre, "cases") == 1
    assert set(codes(country.centre)) == set(codes(country.province)) == {"key_revoked"}
    # Its own people keep what they wrote.
    assert count(country.commune, "cases") == 2


def test_nothing_is_written_on_a_stick_for_a_revoked_node(
    country: Country, capsys: pytest.CaptureFixture[str]
) -> None:
    register(country.commune)
    country.carry(country.commune, country.province)
    assert revoke(country.province, COMMUNE) == 0
    direct(country.province, COMMUNE)
    stick = country.stick()
    status = main(
        ["pack", "export", "--data", f"{country.province}", "--to", COMMUNE, "--out", f"{stick}"]
    )
    assert status == 1
    assert "[key_revoked]" in capsys.readouterr().err
    assert list(stick.iterdir()) == []


def test_the_list_names_who_revoked_whom_and_why(
    country: Country, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["revocations", "--data", f"{country.province}"]) == 0
    assert "No key was revoked." in capsys.readouterr().out
    register(country.commune)
    country.carry(country.commune, country.province)
    assert revoke(country.province, COMMUNE, "--last-valid", "1") == 0
    country.carry(country.province, country.centre, f"{country.centre / 'chain.pem'}")
    capsys.readouterr()
    assert main(["revocations", "--data", f"{country.centre}"]) == 0
    said = capsys.readouterr().out
    assert f"by Nghệ An (40): {REASON}" in said
    assert "leaves 0 to 1 count" in said


@pytest.mark.parametrize(
    ("node", "more", "code"),
    [
        ("40.99999", (), "target_unknown"),
        ("0", (), "target_unknown"),
        (COMMUNE, ("--last-valid", "999"), "revocation_ahead"),
    ],
)
def test_what_cannot_be_revoked_is_refused_in_words(
    node: str,
    more: tuple[str, ...],
    code: str,
    country: Country,
    capsys: pytest.CaptureFixture[str],
) -> None:
    register(country.commune)
    country.carry(country.commune, country.province)
    assert revoke(country.province, node, *more) == 1
    assert f"[{code}]" in capsys.readouterr().err
    assert count(country.province, "revocation") == 0
    assert revoke(country.commune, f"{country.province / 'chain.pem'}") == 1
    assert "[revocation_foreign]" in capsys.readouterr().err


def test_a_node_that_never_came_is_revoked_by_its_chain_file(country: Country) -> None:
    assert revoke(country.province, f"{country.neighbour / 'chain.pem'}") == 0
    register(country.neighbour)
    country.carry(country.neighbour, country.province)
    assert count(country.province, "cases") == 0


def test_of_two_keys_of_one_place_the_key_must_be_named(
    tmp_path: Path, country: Country, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again"
    make_commune(again, country.province, COMMUNE)
    for folder in (country.commune, again):
        register(folder)
        country.carry(folder, country.province)
    assert revoke(country.province, COMMUNE) == 1
    assert "[target_ambiguous]" in capsys.readouterr().err
    with opened_station(country.commune, system_rng(), alone=False) as station:
        key = station.replica.key.peer_id.hex()
    assert revoke(country.province, key[:16]) == 0
    # The new machine of the same place goes on, and is what its code means now.
    register(again)
    country.carry(again, country.province)
    assert count(country.province, "cases") == 3
    country.carry(country.province, again, COMMUNE)
    assert revoke(country.province, COMMUNE) == 0
    capsys.readouterr()
    assert main(["revocations", "--data", f"{country.province}"]) == 0
    with opened_station(again, system_rng(), alone=False) as station:
        assert station.replica.key.peer_id.hex()[:16] in capsys.readouterr().out


def test_a_record_file_is_judged_by_the_revocations_that_its_reader_knows(
    tmp_path: Path, country: Country, capsys: pytest.CaptureFixture[str]
) -> None:
    register(country.commune)
    country.carry(country.commune, country.province)
    early, late, said = (tmp_path / name for name in ("early.json", "late.json", "said"))
    record(country.province, early)
    assert revoke(country.province, COMMUNE) == 0
    assert main(["revocations", "--data", f"{country.province}", "--out", f"{said}"]) == 0
    root = f"{country.centre / 'root.pem'}"
    verify = ["verify", "--root", root, "--revocations", f"{said}"]
    assert main([*verify, f"{early}"]) == 0
    assert "its key was revoked later" in capsys.readouterr().out
    record(country.province, early)
    assert main([*verify, f"{early}"]) == 0
    # What the stolen machine itself says of an old case and a new one.
    with opened_station(country.commune, system_rng()) as station:
        db = station.connection
        (case,) = db.execute("SELECT id FROM document WHERE kind = 'case'").fetchone()
        with station.replica.transaction():
            station.replica.write(
                officer(station), case, now_ms=Clock().now_ms(), fields={"title": "giả"}
            )
    record(country.commune, late)
    capsys.readouterr()
    assert main(["verify", "--root", root, f"{late}"]) == 0
    assert main([*verify, f"{late}"]) == 1
    assert "[key_revoked]" in capsys.readouterr().err
    said.write_bytes(said.read_bytes()[:-1])
    assert main([*verify, f"{early}"]) == 1
    assert "[revocation_malformed]" in capsys.readouterr().err


def test_a_revoked_machine_is_told_so_over_the_line_and_goes_on_alone(tmp_path: Path) -> None:
    centre_at, province_at, commune_at = (tmp_path / name for name in ("0", "40", "c"))
    make_centre(centre_at)
    make_province(province_at, centre_at)
    make_commune(commune_at, province_at)

    async def story() -> None:
        async with running(province_at) as province:
            set_parent(commune_at, province.port)
            async with running(commune_at) as commune:
                await commune.register("Đòi đất")
                await province.wait_for_rows("cases", 1)
                peer = commune.station.replica.key.peer_id.hex()
                await province.node.write(
                    lambda now_ms: province.node.revoke(
                        peer, last_valid=None, reason=REASON, now_ms=now_ms
                    )
                )
                await commune.wait_for(lambda at: at.link_code() == "key_revoked")
                assert commune.node.link.last_error is not None
                assert REASON in commune.node.link.last_error[1]
                await commune.register("Vẫn ghi được")
                assert await commune.count("cases") == 2
                assert await province.count("cases") == 1

    asyncio.run(story())


def test_the_neighbours_go_on(country: Country) -> None:
    for folder in (country.commune, country.neighbour):
        register(folder)
        country.carry(folder, country.province)
    assert revoke(country.province, COMMUNE) == 0
    register(country.neighbour)
    direct(country.province, NEIGHBOUR)
    country.carry(country.neighbour, country.province)
    country.carry(country.province, country.neighbour, NEIGHBOUR)
    assert count(country.province, "cases") == 3
    assert count(country.neighbour, "directives") == 1
