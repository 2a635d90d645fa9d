"""Enrolment over the network with a one-time token: what each side says, and why it refuses.

Who asks pins the key that answers by the token and proves that it knows the token's secret; the
other proves the same in its answer. So neither ever trusts whom it merely met first.
"""

import ssl
from dataclasses import replace
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crypto.certificates import (
    Subject,
    chain_from_der,
    chain_from_pem,
    chain_to_der,
    chain_to_pem,
    request_from_pem,
    request_to_pem,
    subject_of,
    subject_of_request,
)
from crypto.enrolment import (
    Token,
    answer_proof,
    check_proof,
    name_of,
    parse_token,
    pin_of,
    proof_key,
    request_proof,
)
from crypto.errors import CertificateError, CryptoError, EnrolmentError
from crypto.tiers import tier_of
from node.asking import ask
from node.config import read_config, write_config
from node.errors import ConfigError, NodeError, RequestError
from node.folder import install_chain
from node.issuing import IsRevoked, issue_below
from node.tokens import MadeToken, find_token, keep

ENROL_PATH: Final = "/enrol/1"
_PEM_CHARS_MAX: Final = 16_384


class EnrolRequest(BaseModel):
    """What the commune says.

    Attributes:
        token: name of the token.
        request: PKCS #10, PEM.
        proof: that it knows the secret.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: str = Field(pattern=r"^[0-9a-f]{16}$")
    request: str = Field(max_length=_PEM_CHARS_MAX)
    proof: str = Field(pattern=r"^[0-9a-f]{64}$")


class EnrolAnswer(BaseModel):
    """What the province says.

    Attributes:
        certificates: PEM: the chain, then the root.
        proof: that it knows the secret.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    certificates: str
    proof: str = Field(pattern=r"^[0-9a-f]{64}$")


# The node above: a province, or a commune


def answer_request(
    path: Path, asked: EnrolRequest, listener: x509.Certificate, now_ms: int, is_revoked: IsRevoked
) -> EnrolAnswer:
    """Enrol the node that asks, if the token allows it.

    Args:
        path: data folder of the province.
        asked: what came.
        listener: the certificate that it was shown.
        now_ms: wall clock.
        is_revoked: see there.

    Raises:
        RequestError: token_unknown, token_blocked, token_expired, token_used, code_enrolled, …
        CryptoError: token_proof_wrong, or the request is not one that may be signed.
    """
    made = find_token(path, bytes.fromhex(asked.token))
    try:
        return _answer(path, made, asked, listener, now_ms, is_revoked)
    except (NodeError, CryptoError) as error:
        failures = made.failures + (error.code == "token_proof_wrong")
        keep(path, made, refused=error.code, refused_ms=now_ms, failures=failures)
        raise


def _answer(
    path: Path,
    made: MadeToken,
    asked: EnrolRequest,
    listener: x509.Certificate,
    now_ms: int,
    is_revoked: IsRevoked,
) -> EnrolAnswer:
    state = made.state(now_ms)
    if state == "blocked":
        raise RequestError(
            "token_blocked",
            f"This token was tried {made.failures} times by somebody who does not know its secret.",
            "Make a new one, and give it by another way than the last.",
        )
    key, proof = bytes.fromhex(made.key), bytes.fromhex(asked.proof)
    request = request_from_pem(asked.request.encode())
    expected = request_proof(
        key, listener.public_bytes(Encoding.DER), request.public_bytes(Encoding.DER)
    )
    check_proof(expected, proof)
    if now_ms >= made.expires_ms:
        raise RequestError(
            "token_expired",
            "This token has expired, by the clock of the node that made it.",
            "Have a new one made there.",
        )
    subject = subject_of_request(request)
    if subject.code != made.code:
        raise RequestError(
            "token_other_place",
            f"This token is for {made.code}, not for {subject.code}.",
            "Have one made for this place, or make the node anew with the right code.",
        )
    if subject.succeeds:
        # Whoever overheard the token could else end the key that the office has.
        raise RequestError(
            "spare_unfit",
            "A token enrols a new node; it makes no spare key.",
            "A spare key is certified for the node itself, over its link or with files.",
        )
    # Whose answer was lost on the way asks again, with the same key.
    if state == "used" and made.used_by != subject.peer_id.hex():
        raise RequestError(
            "token_used",
            f"This token was used already, by the key {made.used_by[:16]}.",
            "If that was not your machine, somebody overheard the token: revoke that key there,"
            " then make a new token.",
        )
    chain = issue_below(path, request, now_ms=now_ms, is_revoked=is_revoked, again=made.is_again)
    keep(path, made, used_by=subject.peer_id.hex(), used_ms=now_ms)
    return EnrolAnswer(
        certificates=chain_to_pem(chain).decode(),
        proof=answer_proof(key, proof, chain_to_der(chain)).hex(),
    )


# The node below: a commune, or an outpost


def enrol_with_token(path: Path, line: str) -> Subject:
    """Enrol the node of a folder at the node that a token names, and point it there.

    Raises:
        RequestError: that node cannot be reached, or refuses.
        ConfigError: there is no node in the folder, or it belongs to another root.
        CryptoError: the token is malformed, or whoever answers is not the one that it names.
    """
    token = parse_token(line)
    try:
        request = request_from_pem((path / "request.pem").read_bytes())
    except OSError as error:
        raise ConfigError(
            "not_initialised",
            f"There is no request in {path}.",
            f"Make the node first: tiepdan init --data FOLDER --tier {tier_of(token.code)}"
            f" --code {token.code} --name NAME",
        ) from error
    own = subject_of_request(request)
    if own.code != token.code:
        raise RequestError(
            "token_other_place",
            f"This token is for {token.code}, and the node in {path} is {own.code}.",
            "Have a token made for this place; nothing was used up.",
        )
    chain, root = _asked(token, request)
    subject = install_chain(path, chain, root)
    config = read_config(path)
    if config.parent != token.address:
        write_config(path, replace(config, parent=token.address))
    return subject


def _asked(
    token: Token, request: x509.CertificateSigningRequest
) -> tuple[list[x509.Certificate], x509.Certificate]:
    key, der = proof_key(token.secret), request.public_bytes(Encoding.DER)
    proofs: list[bytes] = []

    def say(listener: bytes) -> bytes:
        _check_pin(token, listener)
        proofs.append(request_proof(key, listener, der))
        asked = EnrolRequest(
            token=name_of(token.secret).hex(),
            request=request_to_pem(request).decode(),
            proof=proofs[0].hex(),
        )
        return asked.model_dump_json().encode()

    content = ask(token.address, ENROL_PATH, say, context=_context())
    try:
        answer = EnrolAnswer.model_validate_json(content)
    except ValidationError as error:
        raise RequestError(
            "answer_malformed",
            "The answer of the node above cannot be read.",
            "Check that both nodes have the same version.",
        ) from error
    certificates = chain_from_pem(answer.certificates.encode())
    check_proof(
        answer_proof(key, proofs[0], chain_to_der(certificates)), bytes.fromhex(answer.proof)
    )
    *chain, root = certificates
    if len(chain) < 2 or pin_of(subject_of(chain[1]).peer_id) != token.pin:
        raise CertificateError(
            "certificate_wrong_issuer",
            "the certificate was not issued by the node that the token names",
            "Have a new token made.",
        )
    return chain, root


def _check_pin(token: Token, listener: bytes) -> None:
    try:
        is_pinned = pin_of(subject_of(chain_from_der([listener])[0]).peer_id) == token.pin
    except CertificateError:
        # Whatever else listens there shows certificates of other kinds.
        is_pinned = False
    if not is_pinned:
        raise EnrolmentError(
            "token_pin_differs",
            f"another machine than the one that made the token answers at {token.address}",
            "Nothing was said to it. Somebody may stand between, or the address belongs to another:"
            " check it with whoever made the token, or enrol with files on a stick.",
        )


def _context() -> ssl.SSLContext:
    """Return a context that leaves it to the pin who is at the other end.

    TLS still proves that it has the key which it shows.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
