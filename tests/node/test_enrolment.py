"""Goal: with a token a commune enrols over the network, and nobody else does in its place.

Method: a real province on loopback; the commune's side as the command line runs it, and callers
that speak the same HTTP without keeping to its rules.
"""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from crypto.certificates import chain_to_der, make_request, request_from_pem, request_to_pem
from crypto.enrolment import (
    Token,
    answer_proof,
    name_of,
    parse_token,
    proof_key,
    request_proof,
)
from crypto.errors import CryptoError
from crypto.identity import NodeKey
from node.asking import ask
from node.cli import main
from node.clock import Clock
from node.config import Config, read_config, write_config
from node.enrolling import ENROL_PATH, EnrolAnswer, EnrolRequest, _context, enrol_with_token
from node.entropy import system_entropy
from node.errors import NodeError
from node.folder import init_folder, open_folder
from node.gate import _AT_ONCE
from node.qr import qr_lines
from node.tls import server_context
from node.tokens import FAILURES_MAX, make_token, tokens
from node.websocket import PATH
from schemas.codes import Tier
from tests.node.places import Running, make_centre, make_commune, make_province, running

CODE, HOUR_MS = "40.17083", 3_600_000
Story = Callable[[Running, "Scene"], Awaitable[None]]


class Scene:
    """A province, and communes that were made and not enrolled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.province = folder / "province"
        make_centre(folder / "centre")
        make_province(self.province, folder / "centre")

    def commune(self, name: str = "commune", code: str = CODE) -> Path:
        path = self.folder / name
        init_folder(
            path,
            tier=Tier.COMMUNE,
            code=code,
            name="Mỹ Lý",
            config=Config(web_port=0),
            now_ms=Clock().now_ms(),
        )
        return path

    def token(self, port: int, *, ago_h: int = 0, code: str = CODE, again: bool = False) -> Token:
        own = open_folder(self.province).subject
        return make_token(
            self.province,
            own=(own.tier, own.code, own.peer_id),
            code=code,
            address=f"127.0.0.1:{port}",
            now_ms=Clock().now_ms() - ago_h * HOUR_MS,
            entropy=system_entropy,
            hours=1,
            is_again=again,
        )

    def state(self) -> tuple[str, str]:
        """Return what the province shows of its one token, and of the last refusal."""
        (made,) = tokens(self.province)
        return made.state(Clock().now_ms()), made.refused


def tell(folder: Path, story: Story) -> None:
    scene = Scene(folder)

    async def run() -> None:
        async with running(scene.province) as province:
            await story(province, scene)

    asyncio.run(run())


async def refused(path: Path, token: Token) -> str:
    """Return why an enrolment is refused; the node is none the more enrolled."""
    refusal: NodeError | CryptoError
    try:
        await asyncio.to_thread(enrol_with_token, path, token.text())
    except (NodeError, CryptoError) as error:
        refusal = error
    else:
        raise AssertionError("it was enrolled")
    assert not (path / "chain.pem").exists()
    assert not (path / "root.pem").exists()
    assert refusal.hint
    return refusal.code


async def said(
    token: Token, *, key: NodeKey, secret: bytes, code: str = CODE, succeeds: bytes = b""
) -> str:
    """Ask as a stranger with a key of its own and a secret; return why it is refused, or ok."""
    request = make_request(key, Tier.COMMUNE, code, "Giả", succeeds)
    der = request.public_bytes(Encoding.DER)

    def say(listener: bytes) -> bytes:
        return (
            EnrolRequest(
                token=name_of(token.secret).hex(),
                request=request_to_pem(request).decode(),
                proof=request_proof(proof_key(secret), listener, der).hex(),
            )
            .model_dump_json()
            .encode()
        )

    try:
        await asyncio.to_thread(ask, token.address, ENROL_PATH, say, context=_context())
    except NodeError as error:
        return error.code
    return "ok"


def openssl_verify(path: Path, province: Path) -> str:
    """Return what stock OpenSSL says of a node's certificate."""
    above = f"{province / 'chain.pem'}"
    command = ["openssl", "verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", above]
    checked = subprocess.run(
        [*command, "chain.pem"], cwd=path, capture_output=True, text=True, check=False, timeout=30
    )
    return checked.stdout + checked.stderr


async def revoke(province: Running, path: Path) -> None:
    """Revoke the key of a commune."""
    chain = f"{path / 'chain.pem'}"
    await province.node.write(
        lambda now_ms: province.node.revoke(
            chain, last_valid=None, reason="Máy bị mất trộm", now_ms=now_ms
        )
    )


STRANGER = NodeKey.from_seed(b"somebody who listened in".ljust(32))


def test_a_commune_enrols_with_a_token_and_links(tmp_path: Path) -> None:
    async def story(province: Running, scene: Scene) -> None:
        path, token = scene.commune(), scene.token(province.port)
        subject = await asyncio.to_thread(enrol_with_token, path, token.text().lower())
        assert (subject.tier, subject.code, subject.name) == (Tier.COMMUNE, CODE, "Mỹ Lý")
        assert read_config(path).parent == token.address
        assert scene.state() == ("used", "")
        assert await asyncio.to_thread(openssl_verify, path, scene.province) == "chain.pem: OK\n"
        async with running(path) as commune:
            await commune.register("Đòi đất")
            await province.wait_for_rows("cases", 1)

    tell(tmp_path, story)


def test_whose_answer_was_lost_asks_again_and_nobody_else_uses_the_token(tmp_path: Path) -> None:
    async def story(province: Running, scene: Scene) -> None:
        path, token = scene.commune(), scene.token(province.port)
        for _ in range(2):
            await asyncio.to_thread(enrol_with_token, path, token.text())
        assert await refused(scene.commune("another"), token) == "token_used"
        assert scene.state() == ("used", "token_used")

    tell(tmp_path, story)


def test_a_token_ends_with_its_time_its_place_and_its_withdrawal(tmp_path: Path) -> None:
    async def story(province: Running, scene: Scene) -> None:
        path = scene.commune()
        old = scene.token(province.port, ago_h=3)
        assert await refused(path, old) == "token_expired"
        assert scene.state() == ("expired", "token_expired")
        token = scene.token(province.port)
        assert await refused(path, old) == "token_unknown"
        assert await refused(scene.commune("other", "40.17084"), token) == "token_other_place"
        other = await said(token, key=STRANGER, secret=token.secret, code="40.17084")
        assert other == "token_other_place"
        command = ["token", "--data", f"{scene.province}", "--code", CODE, "--withdraw"]
        assert main(command) == 0
        # With no token left, nobody gets beyond the handshake without a certificate.
        assert await refused(path, token) == "peer_refused"

    tell(tmp_path, story)


def test_a_place_that_has_a_key_gets_another_only_expressly_or_after_its_revocation(
    tmp_path: Path,
) -> None:
    async def story(province: Running, scene: Scene) -> None:
        first, second, third = (scene.commune(name) for name in ("first", "second", "third"))
        await asyncio.to_thread(enrol_with_token, first, scene.token(province.port).text())
        assert await refused(second, scene.token(province.port)) == "code_enrolled"
        again = scene.token(province.port, again=True)
        await asyncio.to_thread(enrol_with_token, second, again.text())
        for path in (first, second):
            await revoke(province, path)
        await asyncio.to_thread(enrol_with_token, third, scene.token(province.port).text())
        (second / "chain.pem").unlink()
        (second / "root.pem").unlink()
        assert await refused(second, scene.token(province.port)) == "key_revoked"

    tell(tmp_path, story)


def test_a_token_makes_nobody_the_successor_of_a_key(tmp_path: Path) -> None:
    async def story(province: Running, scene: Scene) -> None:
        path = scene.commune()
        await asyncio.to_thread(enrol_with_token, path, scene.token(province.port).text())
        token = scene.token(province.port)
        own = open_folder(path).subject.peer_id
        asked = said(token, key=STRANGER, secret=token.secret, succeeds=own)
        assert await asked == "spare_unfit"

    tell(tmp_path, story)


def test_who_does_not_know_the_secret_gets_nothing_and_few_attempts(tmp_path: Path) -> None:
    async def story(province: Running, scene: Scene) -> None:
        path, token = scene.commune(), scene.token(province.port)
        for _ in range(FAILURES_MAX):
            assert await said(token, key=STRANGER, secret=bytes(10)) == "token_proof_wrong"
        assert scene.state() == ("blocked", "token_proof_wrong")
        assert await refused(path, token) == "token_blocked"
        for _ in range(_AT_ONCE - FAILURES_MAX - 1):
            await said(token, key=STRANGER, secret=bytes(10))
        assert await refused(path, token) == "enrol_throttled"

    tell(tmp_path, story)


def test_a_man_in_the_middle_is_told_nothing_and_what_he_hears_is_worth_nothing(
    tmp_path: Path,
) -> None:
    heard: list[str] = []

    async def listen(request: web.Request) -> web.Response:
        heard.append(await request.text())
        return web.Response()

    async def story(province: Running, scene: Scene) -> None:
        path, token = scene.commune(), scene.token(province.port)
        # With a good certificate of the same root, but of another node.
        make_commune(scene.folder / "thief", scene.province, "40.17084")
        context = server_context(open_folder(scene.folder / "thief"))
        context.admits_strangers = lambda: True
        app = web.Application()
        app.router.add_post(ENROL_PATH, listen)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        led_astray = replace(token, address=f"127.0.0.1:{runner.addresses[0][1]}")
        assert await refused(path, led_astray) == "token_pin_differs"
        assert heard == []
        await runner.cleanup()
        # What was proved over another certificate is no proof to the province.
        key = proof_key(token.secret)
        request = request_from_pem((path / "request.pem").read_bytes())
        der = request.public_bytes(Encoding.DER)
        theirs = chain_to_der(open_folder(scene.folder / "thief").chain)[0]
        passed_on = EnrolRequest(
            token=name_of(token.secret).hex(),
            request=request_to_pem(request).decode(),
            proof=request_proof(key, theirs, der).hex(),
        )
        body = passed_on.model_dump_json().encode()
        with pytest.raises(NodeError) as caught:
            await asyncio.to_thread(
                ask, token.address, ENROL_PATH, lambda _: body, context=_context()
            )
        assert caught.value.code == "token_proof_wrong"

    tell(tmp_path, story)


def test_an_answer_that_was_altered_is_not_installed(tmp_path: Path) -> None:
    """Goal: whoever had the province's TLS key but not the token could not enrol a commune."""

    async def forge(request: web.Request) -> web.Response:
        asked = EnrolRequest.model_validate_json(await request.text())
        chain = open_folder(tmp_path / "province").chain
        answer = EnrolAnswer(
            certificates=(tmp_path / "province" / "chain.pem").read_text(),
            proof=answer_proof(bytes(32), bytes.fromhex(asked.proof), chain_to_der(chain)).hex(),
        )
        return web.json_response(text=answer.model_dump_json())

    async def story(_: Running, scene: Scene) -> None:
        context = server_context(open_folder(scene.province))
        context.admits_strangers = lambda: True
        app = web.Application()
        app.router.add_post(ENROL_PATH, forge)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        token = scene.token(int(runner.addresses[0][1]))
        assert await refused(scene.commune(), token) == "token_proof_wrong"
        await runner.cleanup()

    tell(tmp_path, story)


def test_an_open_token_opens_nothing_but_the_enrolment(tmp_path: Path) -> None:
    async def story(province: Running, scene: Scene) -> None:
        token = scene.token(province.port)
        for path in (PATH, "/renew/1", "/accounts/1", "/"):
            with pytest.raises(NodeError) as caught:
                await asyncio.to_thread(
                    ask, token.address, path, lambda _: b"{}", context=_context()
                )
            assert caught.value.code == "certificate_missing"
        # Who shows a certificate must show a good one, token or not.
        foreign = Scene(scene.folder / "elsewhere")
        make_commune(scene.folder / "foreign", foreign.province, CODE)
        context = _context()
        chain = scene.folder / "foreign" / "both.pem"
        _write_key_and_chain(scene.folder / "foreign", chain)
        context.load_cert_chain(chain)
        with pytest.raises(NodeError) as caught:
            await asyncio.to_thread(
                ask, token.address, ENROL_PATH, lambda _: b"{}", context=context
            )
        assert caught.value.code == "peer_refused"

    tell(tmp_path, story)


def _write_key_and_chain(folder: Path, target: Path) -> None:
    key = open_folder(folder).key.private_key
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    target.write_bytes((folder / "chain.pem").read_bytes() + pem)


def test_the_technician_types_two_commands_at_each_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story(province: Running, scene: Scene) -> None:
        config = replace(read_config(scene.province), sync_address=f"127.0.0.1:{province.port}")
        write_config(scene.province, config)
        data = f"{scene.folder / 'commune'}"
        made = ["init", "--data", data, "--tier", "commune", "--code", CODE, "--name", "Mỹ Lý"]
        assert main(made) == 0
        assert "have the province make a token" in capsys.readouterr().out
        assert main(["token", "--data", f"{scene.province}", "--code", CODE, "--qr"]) == 0
        said = capsys.readouterr()
        line = said.out.strip()
        assert parse_token(line).code == CODE
        assert qr_lines(line) in said.err
        assert await asyncio.to_thread(main, ["enrol", "--data", data, "--token", line]) == 0
        assert "Enrolled: Mỹ Lý (commune 40.17083)" in capsys.readouterr().out
        assert main(["token", "--data", f"{scene.province}"]) == 0
        assert "40.17083  used by the key" in capsys.readouterr().out
        kept = b"".join(file.read_bytes() for file in scene.province.rglob("*") if file.is_file())
        secret = parse_token(line).secret
        assert secret not in kept
        assert secret.hex().encode() not in kept

    tell(tmp_path, story)


def test_the_centre_makes_no_tokens_for_communes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = Scene(tmp_path)
    for where, code, reason in (
        (tmp_path / "centre", CODE, "certificate_wrong_tier"),
        (scene.province, "41.1", "certificate_wrong_code"),
        (scene.province, "40.1/../../x", "certificate_wrong_code"),
        (scene.province, CODE, "token_address_missing"),
    ):
        assert main(["token", "--data", f"{where}", "--code", code]) == 1
        assert f"[{reason}]" in capsys.readouterr().err


async def answered(token: Token, body: bytes) -> str:
    """Return why the province refuses a body."""
    with pytest.raises(NodeError) as caught:
        await asyncio.to_thread(ask, token.address, ENROL_PATH, lambda _: body, context=_context())
    return caught.value.code


def test_what_cannot_be_read_is_refused_and_the_node_goes_on(tmp_path: Path) -> None:
    async def story(province: Running, scene: Scene) -> None:
        path, token = scene.commune(), scene.token(province.port)
        deep, long = b"[" * 20_000, b'{"token": "' + b"0" * 40_000 + b'"}'
        for body, code in (
            (b"", "request_invalid"),
            (b"\xff\xfe", "request_invalid"),
            (deep, "request_invalid"),
            (b'{"token": "../../x", "request": "", "proof": ""}', "request_invalid"),
            (long, "request_too_large"),
        ):
            assert await answered(token, body) == code
        # Somebody who says what he will send, and never sends it.
        _, writer = await asyncio.open_connection("127.0.0.1", province.port, ssl=_context())
        writer.write(f"POST {ENROL_PATH} HTTP/1.1\r\nContent-Length: 99\r\n\r\n".encode())
        await writer.drain()
        await asyncio.to_thread(enrol_with_token, path, token.text())
        writer.close()

    tell(tmp_path, story)
