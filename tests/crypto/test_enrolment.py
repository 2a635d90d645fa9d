"""Goal: a token that was misheard spends nothing, and a proof holds for one listener only.

Method: any token, read out as people do; then each sign, code and address changed.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.enrolment import (
    PIN_BYTES,
    SECRET_BYTES,
    Token,
    answer_proof,
    check_proof,
    name_of,
    parse_token,
    pin_of,
    proof_key,
    request_proof,
)
from crypto.errors import CertificateError, EnrolmentError
from crypto.identity import PeerId

TOKEN = Token(
    code="40.17083",
    address="10.0.0.1:8443",
    pin=bytes(range(PIN_BYTES)),
    secret=bytes(range(100, 100 + SECRET_BYTES)),
    expires_h=498_000,
)
KEY = proof_key(TOKEN.secret)


def tokens() -> st.SearchStrategy[Token]:
    return st.builds(
        Token,
        code=st.sampled_from(["40.17083", "1.1", "99.99999"]),
        address=st.sampled_from(["10.0.0.1:8443", "[2001:db8::1]:1", "tinh.example.vn:65535"]),
        pin=st.binary(min_size=PIN_BYTES, max_size=PIN_BYTES),
        secret=st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES),
        expires_h=st.integers(438_288, 438_288 + (1 << 20) - 1),
    )


@given(tokens())
def test_a_token_is_read_as_it_was_made_however_it_is_spoken(token: Token) -> None:
    line = token.text()
    assert parse_token(line) == token
    head, _, signs = line.rpartition("/")
    for spoken in (signs.lower(), signs.replace("-", " "), signs.replace("-", "")):
        assert parse_token(f"  {head}/{spoken}\n") == token
    alike = signs.replace("0", "o").replace("1", "l")
    assert parse_token(f"{head}/{alike}") == token


@given(tokens(), st.data())
def test_a_sign_that_was_misheard_is_noticed(token: Token, data: st.DataObject) -> None:
    head, _, signs = token.text().rpartition("/")
    at = data.draw(st.sampled_from([n for n, sign in enumerate(signs) if sign != "-"]))
    other = data.draw(
        st.sampled_from(sorted(set("0123456789ABCDEFGHJKMNPQRSTVWXYZ") - {signs[at]}))
    )
    with pytest.raises(EnrolmentError) as refused:
        parse_token(f"{head}/{signs[:at]}{other}{signs[at + 1 :]}")
    assert refused.value.code == "token_malformed"


@given(st.text(max_size=120))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises((EnrolmentError, CertificateError)):
        parse_token(text)


def test_a_token_does_not_fit_another_code_or_address() -> None:
    line = TOKEN.text()
    for changed in (
        line.replace("40.17083", "40.17084"),
        line.replace("10.0.0.1", "10.0.0.2"),
        line.replace("8443", "8444"),
        line.replace("10.0.0.1:8443", "10.0.0.1"),
        line.replace("40.17083@", "@"),
        line[:-1],
        line + "0",
    ):
        with pytest.raises(EnrolmentError):
            parse_token(changed)


def test_a_proof_holds_for_one_secret_one_listener_and_one_request() -> None:
    good = request_proof(KEY, b"listener", b"request")
    check_proof(request_proof(KEY, b"listener", b"request"), good)
    answered = answer_proof(KEY, good, [b"own", b"above", b"root"])
    others = [
        request_proof(proof_key(bytes(SECRET_BYTES)), b"listener", b"request"),
        request_proof(KEY, b"another", b"request"),
        request_proof(KEY, b"listener", b"another"),
        request_proof(KEY, b"listenerr", b"equest"),
        answered,
        answer_proof(KEY, good, [b"own", b"above", b"another root"]),
        answer_proof(KEY, good, [b"own", b"above"]),
        answer_proof(KEY, bytes(32), [b"own", b"above", b"root"]),
    ]
    for other in others:
        with pytest.raises(EnrolmentError) as refused:
            check_proof(good, other)
        assert refused.value.code == "token_proof_wrong"
    assert len({good, *others}) == 1 + len(others)


def test_nothing_that_is_said_or_kept_tells_the_secret() -> None:
    for shown in (name_of(TOKEN.secret), KEY, pin_of(PeerId(bytes(32)))):
        assert TOKEN.secret not in shown
    assert pin_of(PeerId(bytes(32))) != pin_of(PeerId(bytes(31) + b"\1"))
