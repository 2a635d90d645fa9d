"""Section 13 of docs/PROTOCOL.md, read again by another program: the vectors of a pairing.

Nothing of the product is used. That SPAKE2 is the library's, the pages of the browser tests show.
"""

import hashlib
import hmac
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from tests.independent.test_vectors import vectors


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def raw(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: raw(value) for name, value in tree.items()}
    return bytes.fromhex(tree)


def check_signature(point: bytes, signature: bytes, message: bytes) -> None:
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    key.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))


def transcript(told: Any) -> bytes:
    hello, greeting, proof = (raw(told[name]) for name in ("hello", "greeting", "proof"))
    parts = [told["way"].encode(), hello["offer"], hello["commitment"], hello["spake"]]
    parts += [greeting["site"], greeting["peer_id"], greeting["nonce"], greeting["spake"]]
    parts += [proof["point"], proof["nonce"]]
    framed = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    return sha256(b"tiepdan pairing v1\n", framed)


@pytest.mark.parametrize("number", [0, 1])
def test_what_a_pairing_proves_follows_from_the_document(number: int) -> None:
    told = vectors("pairing")["pairings"][number]
    key, t = bytes.fromhex(told["key"]), transcript(told)
    hello, greeting, proof, answer = (
        raw(told[name]) for name in ("hello", "greeting", "proof", "answer")
    )
    if told["way"] == "qr":
        assert key == bytes.fromhex(told["shown"])
        assert hello["offer"] == sha256(b"tiepdan pairing offer v1\n", key)[:8]
    else:
        assert (hello["spake"][:1], greeting["spake"][:1]) == (b"A", b"B")
        assert len(hello["spake"]) == len(greeting["spake"]) == 385
    assert hello["commitment"] == sha256(
        b"tiepdan pairing commitment v1\n", proof["point"], proof["nonce"]
    )
    assert proof["proof"] == hmac.digest(key, b"device\n" + t, "sha256")
    assert answer["proof"] == hmac.digest(key, b"node\n" + t, "sha256")
    check_signature(proof["point"], proof["signature"], b"tiepdan pairing device v1\n" + t)
    Ed25519PublicKey.from_public_bytes(greeting["peer_id"]).verify(
        answer["signature"], b"tiepdan pairing node v1\n" + t
    )
    number = int.from_bytes(hmac.digest(key, b"digits\n" + t, "sha256")[:8], "big")
    assert told["digits"] == f"{number % 1_000_000:06}"


def test_site_and_device_are_what_the_document_says() -> None:
    told = vectors("pairing")
    site = x509.load_der_x509_certificate(bytes.fromhex(told["site"]["certificate"]))
    device = x509.load_der_x509_certificate(bytes.fromhex(told["device"]["certificate"]))
    point, fingerprint = (
        bytes.fromhex(text) for text in (told["device"]["point"], told["site"]["fingerprint"])
    )
    assert fingerprint == sha256(bytes.fromhex(told["site"]["certificate"]))
    device_id = sha256(b"tiepdan device v1\n", point)[:16].hex()
    assert told["device"]["id"] == device_id
    (name,) = device.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert name.value == f"tiepdan:device:{device_id}"
    assert device.issuer == site.subject
    device.verify_directly_issued_by(site)
    challenge, signature = (bytes.fromhex(told["proof"][n]) for n in ("challenge", "signature"))
    check_signature(point, signature, b"tiepdan device proof v1\n" + fingerprint + challenge)
