"""An outpost is let in by its commune alone, and lets in whom the commune lets travel.

Method: a real commune that listens on loopback, an outpost enrolled at it as the command line does,
and parcels of accounts that somebody altered, replayed or made.
"""

import asyncio
import sqlite3
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypto.certificates import chain_from_der
from crypto.errors import CryptoError, SealError
from crypto.identity import NodeKey
from crypto.seal import from_text, open_sealed, recipients_of, seal, to_text
from node.accounts import Account, find_account
from node.arriving import Arrivals, fetch
from node.cli import main
from node.clock import Clock
from node.config import Config, read_config, write_config
from node.enrolling import enrol_with_token
from node.entropy import system_entropy, system_rng
from node.errors import NodeError
from node.folder import init_folder, open_folder
from node.station import opened_station
from node.tls import subject_shown
from node.tokens import make_token
from node.travelling import (
    Parcel,
    Traveller,
    choose,
    keep_parcel,
    let_in,
    parcel_for,
    travellers_in,
)
from schemas.codes import Role, Tier
from schemas.ids import parse_document_id
from sync.errors import StoreError
from tests.node.places import Running, make_centre, make_commune, make_province, running
from tests.story.processes import add_account

CODE = "40.17083.1"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A commune with two accounts, and an outpost of it that was enrolled with a token."""
    folder = tmp_path_factory.mktemp("places")
    make_centre(folder / "centre")
    make_province(folder / "province", folder / "centre")
    make_commune(folder / "commune", folder / "province")
    config = read_config(folder / "commune")
    write_config(folder / "commune", replace(config, sync_host="127.0.0.1"))
    add_account(folder / "commune", "lan", "Nguyễn Thị Lan", Role.RECEPTION_OFFICER)
    add_account(folder / "commune", "minh", "Hồ Văn Minh", Role.COMMUNE_CHAIR)
    make_outpost(folder / "outpost")
    asyncio.run(enrol(folder / "outpost", folder / "commune"))
    return folder


def make_outpost(path: Path) -> None:
    init_folder(
        path,
        tier=Tier.OUTPOST,
        code=CODE,
        name="Máy lưu động 1",
        config=Config(web_port=0),
        now_ms=Clock().now_ms(),
    )


async def enrol(outpost: Path, commune: Path) -> None:
    own = open_folder(commune).subject
    async with running(commune) as above:
        token = make_token(
            commune,
            own=(own.tier, own.code, own.peer_id),
            code=CODE,
            address=f"127.0.0.1:{above.port}",
            now_ms=Clock().now_ms(),
            entropy=system_entropy,
        )
        await asyncio.to_thread(enrol_with_token, outpost, token.text())


def parcel(places: Path, *, at_ms: int = 1_000, **altered: Any) -> bytes:
    commune = open_folder(places / "commune")
    made = parcel_for(commune.path, commune.key, open_folder(places / "outpost").subject, at_ms)
    return made.model_copy(update=altered).model_dump_json().encode()


def refused(places: Path, data: bytes) -> str:
    with pytest.raises(NodeError) as error:
        keep_parcel(open_folder(places / "outpost"), data, is_fresh=False)
    return error.value.code


def test_openssl_agrees_with_the_certificate_of_an_outpost(places: Path, tmp_path: Path) -> None:
    above = tmp_path / "above.pem"
    above.write_bytes((places / "commune" / "chain.pem").read_bytes())
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", str(above)]
    checked = subprocess.run(
        [*verify, "chain.pem"],
        cwd=places / "outpost",
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert checked.stdout == "chain.pem: OK\n"
    text = subprocess.run(
        ["openssl", "x509", "-in", places / "outpost" / "chain.pem", "-noout", "-text"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "CA:FALSE" in text
    assert "Certificate Sign" not in text


def test_each_side_of_an_outposts_link_completes_the_chain_of_the_other(places: Path) -> None:
    outpost, commune = open_folder(places / "outpost"), open_folder(places / "commune")
    shown, chain = subject_shown(outpost.chain[0], commune, None)
    assert (shown, len(chain)) == (outpost.subject, 3)
    shown, chain = subject_shown(commune.chain[0], outpost, None)
    assert (shown, len(chain)) == (commune.subject, 2)
    assert chain_from_der(chain) == commune.chain


def test_the_accounts_that_were_chosen_travel_and_no_other(places: Path) -> None:
    commune = open_folder(places / "commune")
    choose(commune.path, commune.subject, CODE, ["lan"])
    keep_parcel(open_folder(places / "outpost"), parcel(places), is_fresh=True)
    [lan] = travellers_in(open_folder(places / "outpost"))
    assert (lan.user, lan.name, lan.role) == ("lan", "Nguyễn Thị Lan", Role.RECEPTION_OFFICER)
    assert b"lan" not in (places / "outpost" / "accounts.json").read_bytes()


def test_accounts_that_nobody_here_can_read_are_refused_and_end_nothing(places: Path) -> None:
    commune, outpost = open_folder(places / "commune"), open_folder(places / "outpost")
    key, domain = outpost.subject.office_public, b"tiepdan accounts v1\n"
    sealed = seal(
        b'[["lan", "Lan", "a role of a later version", "x", "vi"]]',
        [key],
        domain + outpost.subject.peer_id,
    )
    made = Parcel(
        node=outpost.subject.peer_id.hex(), made_ms=1, sealed=to_text(sealed), signature="0" * 128
    )
    signed = made.model_copy(update={"signature": commune.key.sign(made.signed()).hex()})
    keep_parcel(outpost, signed.model_dump_json().encode(), is_fresh=True)
    with pytest.raises(NodeError) as error:
        travellers_in(outpost)
    assert error.value.code == "parcel_malformed"
    assert arrive_after(places, [], parcel(places)) == [["lan"]]


def test_accounts_that_a_full_disk_kept_out_come_in_once_there_is_room(places: Path) -> None:
    keep_parcel(open_folder(places / "outpost"), parcel(places), is_fresh=True)
    full = StoreError("disk_full", "There is no room.")
    assert arrive_after(places, [full]) == [["lan"]]


def arrive_after(places: Path, failures: list[StoreError], later: bytes = b"") -> list[list[str]]:
    """Let accounts arrive at the outpost, where each failure comes first; return who came."""
    folder, came = open_folder(places / "outpost"), list[list[str]]()

    async def story() -> None:
        has_come = asyncio.Event()

        async def take(travellers: list[Traveller]) -> None:
            if failures:
                raise failures.pop()
            came.append([each.user for each in travellers])
            has_come.set()

        arrivals = Arrivals(folder, Clock(), is_linked=lambda: False, take=take)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            running = group.create_task(arrivals.run())
            await asyncio.sleep(0.1)
            if later:
                keep_parcel(folder, later, is_fresh=True)
            await has_come.wait()
            running.cancel()

    asyncio.run(story())
    return came


def test_who_has_a_one_time_password_or_was_closed_does_not_travel(
    places: Path, tmp_path: Path
) -> None:
    commune = open_folder(places / "commune")
    choose(commune.path, commune.subject, CODE, ["lan", "minh"])
    with opened_station(commune.path, system_rng()) as station, station.replica.transaction():
        station.connection.execute("UPDATE account SET is_active = 0 WHERE user = 'minh'")
        station.connection.execute("UPDATE account SET once_until_ms = 9 WHERE user = 'lan'")
    try:
        keep_parcel(open_folder(places / "outpost"), parcel(places), is_fresh=True)
        assert travellers_in(open_folder(places / "outpost")) == []
    finally:
        with opened_station(commune.path, system_rng()) as station, station.replica.transaction():
            station.connection.execute("UPDATE account SET is_active = 1, once_until_ms = 0")
        choose(commune.path, commune.subject, CODE, ["lan"])


def test_a_parcel_that_was_altered_or_forged_or_is_for_another_or_old_is_refused(
    places: Path, tmp_path: Path
) -> None:
    folder = open_folder(places / "outpost")
    keep_parcel(folder, parcel(places, at_ms=5_000), is_fresh=True)
    assert refused(places, parcel(places, at_ms=4_999)) == "parcel_old"
    assert refused(places, b"{}") == "parcel_malformed"
    assert refused(places, parcel(places, at_ms=9_000, made_ms=9_001)) == "parcel_foreign"
    # Everybody can seal to the outpost; only its commune can sign.
    rows = '[["thief", "Trộm", "reception_officer", "$argon2id$x", "vi"]]'
    outpost = folder.subject
    sealed = to_text(
        seal(
            rows.encode(),
            [outpost.office_public],
            b"tiepdan accounts v1\n" + outpost.peer_id,
        )
    )
    forged = Parcel(node=outpost.peer_id.hex(), made_ms=9_000, sealed=sealed, signature="0" * 128)
    signature = NodeKey.generate().sign(forged.signed()).hex()
    forged = forged.model_copy(update={"signature": signature})
    assert refused(places, forged.model_dump_json().encode()) == "parcel_foreign"
    assert refused(places, parcel(places, at_ms=9_000, sealed=sealed)) == "parcel_foreign"
    make_outpost(tmp_path / "other")
    asyncio.run(enrol_again(tmp_path / "other", places / "commune"))
    with pytest.raises(NodeError) as error:
        keep_parcel(open_folder(tmp_path / "other"), parcel(places), is_fresh=True)
    assert error.value.code == "parcel_foreign"
    with pytest.raises(NodeError) as error:
        keep_parcel(open_folder(places / "commune"), parcel(places), is_fresh=True)
    assert error.value.code == "not_an_outpost"


async def enrol_again(outpost: Path, commune: Path) -> None:
    """Enrol a second machine under the same code, by files."""
    answer = outpost / "answer.pem"
    arguments = ["enrol", "--data", str(commune), "--sign", str(outpost / "request.pem")]
    assert main([*arguments, "--out", str(answer), "--again"]) == 0
    assert main(["enrol", "--data", str(outpost), "--install", str(answer)]) == 0


def traveller(**said: Any) -> Traveller:
    facts: dict[str, Any] = {
        "user": "lan",
        "name": "Lan",
        "role": Role.RECEPTION_OFFICER,
        "password": "$argon2id$1",
        "language": "vi",
    }
    return Traveller(**(facts | said))


def test_a_password_changed_away_stays_until_it_is_changed_at_the_commune(
    places: Path, tmp_path: Path
) -> None:
    with opened_station(places / "outpost", system_rng()) as station, station.replica.transaction():
        db = station.connection
        assert let_in(db, [traveller()]) == ["lan"]
        db.execute("UPDATE account SET password = 'here' WHERE user = 'lan'")
        assert let_in(db, [traveller()]) == []
        assert let_in(db, [traveller(name="Nguyễn Lan")]) == ["lan"]
        assert account(db).password == "here"
        assert let_in(db, [traveller(name="Nguyễn Lan", password="$argon2id$2")]) == ["lan"]
        assert account(db).password == "$argon2id$2"
        assert let_in(db, []) == ["lan"]
        assert not account(db).is_active
        assert let_in(db, [traveller()]) == ["lan"]
        assert account(db).is_active


def account(db: sqlite3.Connection) -> Account:
    found = find_account(db, "lan")
    assert found is not None
    return found


def test_accounts_are_told_to_the_outpost_over_the_line_until_it_is_revoked(places: Path) -> None:
    commune = places / "commune"

    async def story() -> None:
        async with running(commune) as above:
            config = read_config(places / "outpost")
            parent = f"127.0.0.1:{above.port}"
            write_config(places / "outpost", replace(config, parent=parent))
            outpost = open_folder(places / "outpost")
            choose(commune, open_folder(commune).subject, CODE, ["minh"])
            keep_parcel(outpost, await asyncio.to_thread(fetch, outpost), is_fresh=True)
            assert [each.user for each in travellers_in(outpost)] == ["minh"]
            await revoke(above, places / "outpost" / "chain.pem")
            with pytest.raises(NodeError) as error:
                await asyncio.to_thread(fetch, outpost)
            assert error.value.code == "key_revoked"

    asyncio.run(story())


async def revoke(commune: Running, chain: Path) -> None:
    await commune.node.write(
        lambda now_ms: commune.node.revoke(
            str(chain), last_valid=None, reason="Mất máy", now_ms=now_ms
        )
    )


def test_what_an_outpost_seals_its_own_key_does_not_open(places: Path) -> None:
    document = parse_document_id("01a20e4d-1c9a-7c0f-b2f5-ab1805437304")
    with opened_station(places / "outpost", system_rng()) as station:
        sealed = station.desk.seals.seal(document, "identity_number", "040071000123")
        with pytest.raises(NodeError):
            station.desk.seals.open(document, "identity_number", sealed)
        own = station.folder.key.office
    blob = from_text(sealed)
    context = b"tiepdan identity number " + document
    with pytest.raises(SealError):
        open_sealed(blob, own.private, context)
    for name in ("commune", "province"):
        key = open_folder(places / name).keyring.opening(recipients_of(blob))
        assert open_sealed(blob, key, context) == b"040071000123"


def test_a_token_of_a_commune_is_for_its_own_outposts(places: Path) -> None:
    own = open_folder(places / "commune").subject
    for code in ("40.17084.1", "40.17083", "40.17083.1.1", "40.17083.0"):
        with pytest.raises(CryptoError):
            make_token(
                places / "commune",
                own=(own.tier, own.code, own.peer_id),
                code=code,
                address="127.0.0.1:1",
                now_ms=Clock().now_ms(),
                entropy=system_entropy,
            )
