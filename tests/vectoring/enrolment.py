"""Sections 2 and 15: requests, a token, and all that is said when one is used."""

import random
from dataclasses import replace
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding

from crypto.certificates import chain_to_der, make_request
from crypto.enrolment import (
    HOUR_MS,
    SECRET_BYTES,
    Token,
    answer_proof,
    name_of,
    parse_token,
    pin_of,
    proof_key,
    request_proof,
)
from crypto.errors import EnrolmentError
from schemas.codes import Tier
from tests.sync.builders import COMMUNE, NOW_MS, PROVINCE, place, root
from tests.sync.revoked import spare_of
from tests.vectoring.layout import Earlier

TOKEN: Final = Token(
    code=COMMUNE,
    address="Tinh.example:8443",
    pin=pin_of(place(PROVINCE).key.peer_id),
    secret=random.Random(15).randbytes(SECRET_BYTES),
    expires_h=NOW_MS // HOUR_MS + 25,
)


def enrolment(_: Earlier) -> Any:
    """Return a token in several spellings, what is none, both requests, and an enrolment."""
    line = TOKEN.text()
    head, signs = line.split("/")
    alike = signs.replace("-", " ").lower().replace("0", "o").replace("1", "l")
    spelled = [line, f"{head.upper()}/{alike}", f"{head}/{signs.replace('-', '')}"]
    assert all(replace(parse_token(each), address=TOKEN.address) == TOKEN for each in spelled)
    return {
        "token": {
            "address": TOKEN.address,
            "code": TOKEN.code,
            "expires_ms": TOKEN.expires_ms,
            "key": proof_key(TOKEN.secret),
            "lines": spelled,
            "name": name_of(TOKEN.secret),
            "pin": TOKEN.pin,
            "secret": TOKEN.secret,
        },
        "refused": [
            {"line": each, "reason": reason(each), "what": what}
            for what, each in bad(head, signs).items()
        ],
        "enrolment": said(),
        "spare_request": spare_request(),
    }


def bad(head: str, signs: str) -> dict[str, str]:
    """Return lines that somebody misheard."""
    other = "0" if signs[-1] != "0" else "2"
    return {
        "another sign": f"{head}/{signs[:-1]}{other}",
        "another place": f"{head.replace('40.17083', '40.17084')}/{signs}",
        "another address": f"{head.replace('8443', '8444')}/{signs}",
        "a sign is missing": f"{head}/{signs[:-1]}",
        "a letter that is no sign": f"{head}/{signs[:-1]}U",
        "no address": f"{COMMUNE}@/{signs}",
    }


def reason(line: str) -> str:
    """Return why a line is no token.

    Raises:
        AssertionError: it is one.
    """
    try:
        parse_token(line)
    except EnrolmentError as error:
        return error.code
    raise AssertionError("a line that is no token was taken")


def said() -> dict[str, Any]:
    """Return what the commune and its province say when the token is used."""
    commune, province = place(COMMUNE), place(PROVINCE)
    made = make_request(commune.key, Tier.COMMUNE, COMMUNE, commune.subject.name)
    request = made.public_bytes(Encoding.DER)
    certificates = chain_to_der([*commune.chain, root()])
    key = proof_key(TOKEN.secret)
    asked = request_proof(key, province.der[0], request)
    return {
        "shown": province.der[0],
        "request": {"proof": asked, "request": request, "token": name_of(TOKEN.secret)},
        "answer": {
            "certificates": certificates,
            "proof": answer_proof(key, asked, certificates),
        },
    }


def spare_request() -> dict[str, Any]:
    """Return the request for a key that is to succeed the commune's."""
    commune = place(COMMUNE)
    key = spare_of(commune, b"spare").key
    made = make_request(
        key, Tier.COMMUNE, COMMUNE, commune.subject.name, succeeds=commune.key.peer_id
    )
    return {
        "peer_id": key.peer_id,
        "request": made.public_bytes(Encoding.DER),
        "succeeds": commune.key.peer_id,
    }
