"""Goal: an office whose key may be in other hands changes it alone, and these gain nothing.

Method: enrolled folders, the commands as they are typed, nodes on loopback over real TLS; the thief
has a copy of the whole folder.
"""

import asyncio
import io
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from crypto.certificates import make_request, request_to_pem
from crypto.errors import CryptoError, SealError
from crypto.identity import NodeKey
from crypto.keyfile import read_chain
from crypto.seal import from_text, office_key_id, open_sealed
from node.cli import main
from node.clock import Clock
from node.entropy import system_rng
from node.errors import ConfigError, NodeError
from node.folder import ROTATED, open_folder, sign_request
from node.office_keys import keep, unlock
from node.renewing import certified
from node.rotating import _prepare, rotate
from node.station import Station, opened_station
from schemas.codes import Tier
from schemas.ids import DocumentId, document_text
from tests.node.places import Running, make_centre, make_commune, make_province, running, set_parent
from tests.node.sticks import count

CODE = "40.17083"
WORDS = "câu mật khẩu của khóa dự phòng"
THIEF = NodeKey.from_seed(b"a key of the thief".ljust(32))


class Scene:
    """A province and a commune, a stick that is kept apart, and what a thief copied."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._typing = folder, monkeypatch
        self.province, self.commune = folder / "p", folder / "c"
        self.stick, self.thief = folder / "stick", folder / "thief"
        self.stick.mkdir()
        make_centre(folder / "0")
        make_province(self.province, folder / "0")
        make_commune(self.commune, self.province)

    def run(self, *command: str, typed: str = WORDS) -> int:
        self._typing.setattr("sys.stdin", io.StringIO(f"{typed}\n{typed}\n"))
        return main([command[0], "--data", f"{self.commune}", *command[1:]])

    def make_spare(self) -> None:
        """Make and certify a spare key by files."""
        assert self.run("spare", "--out", f"{self.stick}") == 0
        chain = self.stick / "chain.pem"
        request = f"{self.stick / 'spare-request.pem'}"
        sign = ["enrol", "--data", f"{self.province}", "--sign", request, "--out", f"{chain}"]
        assert main(sign) == 0
        assert self.run("spare", "--install", f"{chain}") == 0

    def rotate(self, *, typed: str = WORDS) -> int:
        return self.run("rotate", "--spare", f"{self.stick / f'{CODE}.spare'}", typed=typed)

    def copy(self) -> None:
        """Let a thief have all that is on the machine."""
        shutil.copytree(self.commune, self.thief)

    def tell(self, story: Callable[[Running], Awaitable[None]]) -> None:
        async def run() -> None:
            async with running(self.province) as province:
                for place in (self.commune, self.thief):
                    if place.exists():
                        set_parent(place, province.port)
                await story(province)

        asyncio.run(run())


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, monkeypatch)


async def write(folder: Path, *titles: str) -> None:
    """Register visits at a node, with the line there is."""
    async with running(folder) as node:
        for title in titles:
            await node.register(title)


def titles(folder: Path) -> list[str]:
    with opened_station(folder, system_rng(), alone=False) as station:
        return sorted(row[0] for row in station.connection.execute("SELECT title FROM cases"))


def test_a_commune_changes_its_key_alone_and_nothing_is_lost(scene: Scene) -> None:
    scene.make_spare()

    async def before(province: Running) -> None:
        async with running(scene.commune) as commune:
            await commune.register("Đã đến tỉnh")
            await province.wait_for_rows("cases", 1)
            await commune.wait_for(lambda at: at.node.link.state == "up" and _is_cosigned(at))

    scene.tell(before)
    old = open_folder(scene.commune).subject.peer_id
    asyncio.run(write(scene.commune, "Chưa đến tỉnh"))
    scene.copy()
    assert scene.rotate() == 0
    new = open_folder(scene.commune)
    assert new.subject.succeeds == old != new.subject.peer_id
    assert titles(scene.commune) == ["Chưa đến tỉnh", "Đã đến tỉnh"]
    asyncio.run(write(scene.commune, "Sau khi đổi khóa"))

    async def after(province: Running) -> None:
        async with running(scene.commune) as commune:
            await province.wait_for_rows("cases", 3)
            assert commune.link_code() == ""
        # The thief is refused, whatever was written there.
        async with running(scene.thief) as thief:
            await thief.register("Giả")
            await thief.wait_for(lambda at: at.link_code() == "key_revoked")
        assert await province.count("cases") == 3

    scene.tell(after)
    assert titles(scene.province) == ["Chưa đến tỉnh", "Sau khi đổi khóa", "Đã đến tỉnh"]


def _is_cosigned(at: Running) -> bool:
    replica = at.station.replica
    log = replica.up_log()
    return replica.store.cosigned_by(log, replica.store.peers()[0].peer_id) == log.size


def test_what_a_thief_sent_before_the_change_is_taken_out_again(scene: Scene) -> None:
    scene.make_spare()
    scene.copy()
    asyncio.run(write(scene.commune, "Thật"))

    async def story(province: Running) -> None:
        async with running(scene.thief) as thief:
            await thief.register("Giả")
            await province.wait_for_rows("cases", 1)
        assert await asyncio.to_thread(scene.rotate) == 0
        async with running(scene.commune) as commune:
            await province.wait_for(lambda at: _titles(at) == ["Thật"])
            # The province had sent it down already, as a record of that place.
            await commune.wait_for_rows("void_change", 1)
            await commune.wait_for(lambda at: _titles(at) == ["Thật"])
        letters = await province.node.read(
            lambda db: [row[0] for row in db.execute("SELECT DISTINCT code FROM dead_letter")]
        )
        assert letters == ["key_revoked"]

    scene.tell(story)
    assert titles(scene.commune) == ["Thật"]


def _titles(at: Running) -> list[str]:
    rows = at.station.connection.execute("SELECT title FROM cases ORDER BY title")
    return [row[0] for row in rows]


def test_who_has_the_key_alone_gets_no_spare_of_his_own(scene: Scene) -> None:
    scene.make_spare()
    scene.copy()

    async def story(_: Running) -> None:
        assert await why_no_spare(scene.thief) == "spare_exists"

    scene.tell(story)


def test_who_has_the_key_gets_no_second_spare_by_a_key_enrolled_elsewhere(scene: Scene) -> None:
    scene.make_spare()
    scene.copy()
    request = make_request(THIEF, Tier.COMMUNE, "40.17099", "Xã khác")
    sign_request(scene.province, request_to_pem(request), Clock().now_ms(), 90)

    async def story(_: Running) -> None:
        assert await why_no_spare(scene.thief) == "spare_unfit"

    scene.tell(story)


async def why_no_spare(folder: Path) -> str:
    own = open_folder(folder)
    subject, key = own.subject, THIEF
    request = make_request(key, subject.tier, subject.code, subject.name, subject.peer_id)
    with pytest.raises(NodeError) as refused:
        await asyncio.to_thread(certified, own, request)
    assert refused.value.hint
    return refused.value.code


def test_a_spare_is_certified_over_the_line_and_ends_with_a_revocation(scene: Scene) -> None:
    async def story(province: Running) -> None:
        command = ("spare", "--out", f"{scene.stick}")
        assert await asyncio.to_thread(scene.run, *command) == 0
        assert not (scene.stick / "spare-request.pem").exists()
        scene.copy()
        await province.node.write(
            lambda now_ms: province.node.revoke(
                f"{scene.commune / 'chain.pem'}", last_valid=None, reason="Mất trộm", now_ms=now_ms
            )
        )
        # Who took the machine may have found the stick beside it.
        assert await province.count("revocation") == 2
        assert await asyncio.to_thread(scene.rotate) == 0
        async with running(scene.commune) as commune:
            await commune.register("Giả")
            await commune.wait_for(lambda at: at.link_code() == "key_revoked")
        assert await province.count("cases") == 0
        assert await why_no_spare(scene.thief) == "key_revoked"

    scene.tell(story)


@pytest.mark.parametrize("is_plain", [True, False], ids=["plain", "passphrase"])
def test_who_copied_the_office_key_opens_nothing_new_and_the_office_all(
    scene: Scene, is_plain: bool
) -> None:
    scene.make_spare()
    asyncio.run(write(scene.commune, "Trước"))
    with opened_station(scene.commune, system_rng(), alone=False) as station:
        before = people(station)
    words = scene.folder / "words"
    words.write_text(f"{WORDS}\n")
    if not is_plain:
        assert scene.run("office-key", "--new-passphrase-file", f"{words}") == 0
        assert scene.rotate(typed=f"{WORDS}\nmột cụm khác hẳn") == 1
    scene.copy()
    assert scene.rotate() == 0
    asyncio.run(write(scene.commune, "Sau"))
    thief = opened(scene.thief)
    with opened_station(scene.commune, system_rng(), alone=False) as station:
        (new,) = people(station) - before
        (old,) = before
        assert opens(thief, old, station.desk.fields(old)["identity_number"])
        assert not opens(thief, new, station.desk.fields(new)["identity_number"])
        assert is_plain or not station.desk.seals.is_open
        unlock(station.folder, WORDS)
        for document in (old, new):
            found = station.desk.reveal(document_text(document), "identity_number")
            assert found == "040071000123"
    # Whoever comes a second time needs the passphrase for the key of now, and for that of before.
    assert is_plain or not opened(scene.commune, "").office.is_open


def people(station: Station) -> set[DocumentId]:
    rows = station.connection.execute("SELECT id FROM document WHERE kind = 'person'")
    return {DocumentId(row[0]) for row in rows}


def opened(folder: Path, words: str = WORDS) -> NodeKey:
    """Return the keys in a folder to whoever knows these words."""
    found = open_folder(folder)
    if words:
        unlock(found, words)
    return found.key


def opens(key: NodeKey, document: DocumentId, sealed: object) -> bool:
    context = b"tiepdan identity number " + document
    try:
        open_sealed(from_text(str(sealed)), key.office_private, context)
    except SealError as error:
        return error.code != "not_a_recipient"
    return True


def test_a_key_that_is_kept_on_another_disk_stays_there(scene: Scene) -> None:
    disk = scene.folder / "disk"
    disk.mkdir()
    assert scene.run("office-key", "--move", f"{disk / 'office.key'}") == 0
    scene.make_spare()
    old = open_folder(scene.commune)
    assert scene.rotate() == 0
    new = open_folder(scene.commune)
    assert new.office_key == disk / "office.key"
    assert [file.name for file in disk.iterdir()] == ["office.key"]
    assert new.key.office_public != old.key.office_public
    secret = new.key.office_private.private_bytes_raw()
    files = [file for file in scene.commune.rglob("*") if file.is_file()]
    assert not any(secret.hex().encode() in file.read_bytes() for file in files)
    # Nor does the seed in the folder make it.
    assert NodeKey.from_seed(new.key.seed).office_public != new.key.office_public


@pytest.mark.parametrize("step", ["decided", "database", "key"])
def test_a_change_that_was_cut_short_is_brought_to_its_end(step: str, scene: Scene) -> None:
    scene.make_spare()
    asyncio.run(write(scene.commune, "Một"))
    old = open_folder(scene.commune)
    done = scene.folder / "done"
    shutil.copytree(scene.commune, done)
    assert scene.rotate() == 0
    key, chain = open_folder(scene.commune).key, read_chain(scene.commune / "chain.pem")
    office = (scene.commune / "office.key").read_bytes()
    cut = scene.folder / "cut"
    shutil.copytree(done if step == "decided" else scene.commune, cut)
    if step == "database":
        for name in ("key", "chain.pem", "request.pem", "office.key"):
            shutil.copy2(done / name, cut / name)
        shutil.rmtree(cut / "former")
    _prepare(cut, key, chain, office, open_folder(scene.commune).former)
    with pytest.raises(ConfigError) as refused:
        open_folder(cut)
    assert refused.value.code == "rotation_unfinished"
    assert main(["rotate", "--data", f"{cut}"]) == 0
    assert not (cut / ROTATED).exists()
    assert open_folder(cut).key.peer_id == key.peer_id
    assert open_folder(cut).key.office_public == key.office_public
    assert list(open_folder(cut).former) == [office_key_id(old.key.office_public)]
    former = open_folder(cut).keyring.opening([office_key_id(old.key.office_public)])
    assert former.public_key().public_bytes_raw() == old.key.office_public
    assert not list(cut.glob("*.arriving"))
    assert titles(cut) == ["Một"]
    assert count(cut, "revocation") == 1


def test_what_cannot_be_changed_is_refused_in_words(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scene.run("rotate") == 1
    assert "[spare_missing]" in capsys.readouterr().err
    scene.make_spare()
    assert scene.rotate(typed="một câu khác hẳn đi") == 1
    assert "[passphrase_wrong]" in capsys.readouterr().err
    assert scene.run("spare", "--out", f"{scene.stick}") == 1
    assert "[file_exists]" in capsys.readouterr().err
    scene.commune, commune = scene.province, scene.commune
    assert scene.run("spare", "--out", f"{scene.folder}") == 1
    assert "[spare_unfit]" in capsys.readouterr().err
    scene.commune = commune
    (scene.stick / f"{CODE}.spare").write_text("{}")
    assert scene.rotate() == 1
    assert "[keyfile_damaged]" in capsys.readouterr().err
    with pytest.raises((NodeError, CryptoError)):
        rotate(scene.folder / "nowhere", None, lambda: "", lambda: "", 0)


def test_who_forgot_the_passphrase_of_the_office_key_is_told_the_way_out(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.make_spare()
    folder = open_folder(scene.commune)
    keep(folder, folder.key.office, passphrase="ba con trâu bên sông", place=None)
    before = (scene.commune / "key").read_bytes()
    # Both are asked for; the second answer is that of the first.
    assert scene.rotate() == 1
    said = capsys.readouterr().err
    assert "[office_passphrase_wrong]" in said
    assert "have the province revoke the key" in said
    assert (scene.commune / "key").read_bytes() == before
    assert not (scene.commune / ROTATED).exists()


def test_a_backup_from_before_a_change_of_the_key_is_put_in_place_by_changing_it_again(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.make_spare()
    backup = scene.folder / "backup"

    async def story(province: Running) -> None:
        async with running(scene.commune) as commune:
            await commune.register("Một")
            await province.wait_for_rows("cases", 1)
        await asyncio.to_thread(shutil.copytree, scene.commune, backup)
        assert await asyncio.to_thread(scene.rotate) == 0
        async with running(scene.commune) as commune:
            await commune.register("Hai")
            await province.wait_for_rows("cases", 2)
        refused = ["restore", "--data", f"{scene.commune}", f"{backup}"]
        assert await asyncio.to_thread(main, refused) == 1
        assert "[backup_before_rotation]" in capsys.readouterr().err
        # The machine is lost; what is left is the backup and the stick.
        scene.commune = scene.folder / "new"
        anew = ["restore", "--data", f"{scene.commune}", f"{backup}"]
        assert await asyncio.to_thread(main, anew) == 0
        async with running(scene.commune) as commune:
            await commune.wait_for(lambda at: at.link_code() == "key_revoked")
        assert await asyncio.to_thread(scene.rotate) == 0
        async with running(scene.commune) as commune:
            await commune.wait_for_rows("cases", 2)
            await commune.register("Ba")
            await province.wait_for_rows("cases", 3)

    scene.tell(story)
    assert titles(scene.commune) == titles(scene.province) == ["Ba", "Hai", "Một"]
