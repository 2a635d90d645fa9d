"""Goal: a country whose root's key lies on no machine, and whose certificates OpenSSL accepts.

Method: the commands as the holders type them, on folders; stock OpenSSL.
"""

import io
import shutil
import subprocess
from pathlib import Path

import pytest

from node.cli import main
from node.folder import open_folder
from schemas.codes import Tier

NAMES = ("Trần Thị Một", "Lê Văn Hai", "Lò Thị Ba")
WORDS = tuple(f"câu mật khẩu của người thứ {number}" for number in (1, 2, 3))


class Ceremony:
    """The offline machine; what is typed comes line by line."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = folder / "root"
        self._typing = monkeypatch

    def run(self, what: str, *more: str, typed: tuple[str, ...]) -> int:
        self._typing.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in typed)))
        return main(["root", what, "--data", f"{self.root}", *more])

    def make(self) -> int:
        holders = [part for name in NAMES for part in ("--holder", name)]
        return self.run("init", *holders, typed=tuple(word for word in WORDS for _ in range(2)))

    def sign(self, request: Path, out: Path, *more: str, holders: tuple[int, int] = (1, 3)) -> int:
        shares = [part for number in holders for part in ("--share", f"{self.share(number)}")]
        typed = tuple(WORDS[number - 1] for number in holders)
        return self.run("sign", f"{request}", *shares, "--out", f"{out}", *more, typed=typed)

    def share(self, number: int) -> Path:
        return self.root / f"root-{number}.share"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a root, made once as sealing is slow by design."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as typing:
        found = Ceremony(folder, typing)
        assert found.make() == 0
    return found.root


@pytest.fixture
def ceremony(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Ceremony:
    found = Ceremony(tmp_path, monkeypatch)
    shutil.copytree(made, found.root)
    return found


def init(folder: Path, tier: str, code: str, name: str) -> Path:
    more = ["--no-root"] if tier == "centre" else []
    command = ["init", "--data", f"{folder}", "--tier", tier, "--code", code, "--name", name]
    assert main([*command, *more]) == 0
    return folder / "request.pem"


def openssl(folder: Path, *command: str) -> str:
    done = subprocess.run(
        ["openssl", *command], cwd=folder, capture_output=True, text=True, check=False, timeout=30
    )
    return done.stdout + done.stderr


def test_two_holders_enrol_a_country_and_openssl_agrees(
    tmp_path: Path, ceremony: Ceremony, capsys: pytest.CaptureFixture[str]
) -> None:
    offices = (("0", "centre", "Trung ương"), ("40", "province", "Nghệ An"))
    for code, tier, name in offices:
        request, chain = init(tmp_path / code, tier, code, name), tmp_path / f"{code}.pem"
        assert ceremony.sign(request, chain) == 0
        said = capsys.readouterr()
        assert f"{name} ({tier} {code})" in said.err
        assert main(["enrol", "--data", f"{tmp_path / code}", "--install", f"{chain}"]) == 0
        checked = openssl(
            tmp_path / code, "verify", "-x509_strict", "-CAfile", "root.pem", "chain.pem"
        )
        assert checked == "chain.pem: OK\n"
        assert not (tmp_path / code / "root.key").exists()
    request, chain = init(tmp_path / "c", "commune", "40.17083", "Mỹ Lý"), tmp_path / "c.pem"
    sign = ["enrol", "--data", f"{tmp_path / '40'}", "--sign", f"{request}", "--out", f"{chain}"]
    assert main(sign) == 0
    assert main(["enrol", "--data", f"{tmp_path / 'c'}", "--install", f"{chain}"]) == 0
    command = ("verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted")
    checked = openssl(tmp_path / "c", *command, f"{tmp_path / '40' / 'chain.pem'}", "chain.pem")
    assert checked == "chain.pem: OK\n"
    assert open_folder(tmp_path / "c").subject.tier is Tier.COMMUNE


def test_the_key_is_on_no_disk(ceremony: Ceremony) -> None:
    kept = {file.name for file in ceremony.root.rglob("*") if file.is_file()}
    assert kept == {"root.pem", *(f"root-{number}.share" for number in (1, 2, 3))}
    for number in (1, 2, 3):
        assert ceremony.share(number).stat().st_mode & 0o077 == 0
        assert WORDS[number - 1] not in ceremony.share(number).read_text()


def test_one_holder_alone_signs_nothing(
    tmp_path: Path, ceremony: Ceremony, capsys: pytest.CaptureFixture[str]
) -> None:
    request, out = init(tmp_path / "40", "province", "40", "Nghệ An"), tmp_path / "chain.pem"
    for shares, typed, code in (
        ((1,), (WORDS[0],), "shares_too_few"),
        ((1, 1), (WORDS[0], WORDS[0]), "shares_too_few"),
        ((1, 2), (WORDS[0], WORDS[0]), "passphrase_wrong"),
        ((1, 2, 3), WORDS, "shares_too_few"),
    ):
        named = [part for number in shares for part in ("--share", f"{ceremony.share(number)}")]
        more = (f"{request}", *named, "--out", f"{out}")
        assert ceremony.run("sign", *more, typed=typed) == 1
        assert f"[{code}]" in capsys.readouterr().err
        assert not out.exists()


def test_shares_of_another_root_sign_nothing_here(
    tmp_path: Path, ceremony: Ceremony, capsys: pytest.CaptureFixture[str]
) -> None:
    request, out = init(tmp_path / "40", "province", "40", "Nghệ An"), tmp_path / "chain.pem"
    certificate = ceremony.root / "root.pem"
    other = tmp_path / "other"
    ceremony.root, here = other, ceremony.root
    assert ceremony.make() == 0
    (other / "root.pem").write_bytes(certificate.read_bytes())
    assert ceremony.sign(request, out) == 1
    assert "[certificate_wrong_issuer]" in capsys.readouterr().err
    assert not out.exists()
    assert here.exists()


def test_a_root_signs_no_commune_and_no_place_twice_unless_told(
    tmp_path: Path, ceremony: Ceremony, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "chain.pem"
    commune = init(tmp_path / "c", "commune", "40.17083", "Mỹ Lý")
    assert ceremony.sign(commune, out) == 1
    assert "[certificate_wrong_tier]" in capsys.readouterr().err
    assert ceremony.sign(init(tmp_path / "a", "province", "40", "Nghệ An"), out) == 0
    second = init(tmp_path / "b", "province", "40", "Nghệ An")
    assert ceremony.sign(second, out) == 1
    assert "[code_enrolled]" in capsys.readouterr().err
    assert ceremony.sign(second, out, "--again") == 0


def test_when_a_holder_leaves_the_other_two_make_new_shares(
    tmp_path: Path, ceremony: Ceremony
) -> None:
    new, words = tmp_path / "new", tuple(f"{word}, câu mới" for word in WORDS)
    shares = [part for number in (2, 3) for part in ("--share", f"{ceremony.share(number)}")]
    holders = [part for name in ("Người mới", *NAMES[1:]) for part in ("--holder", name)]
    typed = (*WORDS[1:], *(word for word in words for _ in range(2)))
    assert ceremony.run("reshare", *shares, *holders, "--out", f"{new}", typed=typed) == 0
    request, out = init(tmp_path / "40", "province", "40", "Nghệ An"), tmp_path / "chain.pem"
    made = [part for number in (1, 2) for part in ("--share", f"{new / f'root-{number}.share'}")]
    more = (f"{request}", *made, "--out", f"{out}")
    assert ceremony.run("sign", *more, typed=words[:2]) == 0
    # An old and a new one do not fit together.
    mixed = ("--share", f"{ceremony.share(1)}", "--share", f"{new / 'root-2.share'}")
    more = (f"{request}", *mixed, "--out", f"{out}", "--again")
    assert ceremony.run("sign", *more, typed=(WORDS[0], words[1])) == 1


def test_a_root_is_never_made_over_another(
    ceremony: Ceremony, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (ceremony.root / "root.pem").read_bytes()
    assert ceremony.make() == 1
    assert "[already_initialised]" in capsys.readouterr().err
    assert (ceremony.root / "root.pem").read_bytes() == before
