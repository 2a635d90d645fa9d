"""Section 2: certificates and chains, and what is none."""

from collections.abc import Iterator, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from crypto.certificates import chain_from_der, issue, make_request, verify_chain
from crypto.errors import CryptoError
from crypto.extensions import OFFICE_KEY_OID, SUCCEEDS_OID
from crypto.identity import NodeKey
from schemas.codes import Tier
from tests.sync.builders import CENTRE, COMMUNE, NOW_MS, OUTPOST, PROVINCE, place, root, root_key
from tests.sync.revoked import spare_of
from tests.vectoring.layout import Earlier

FOREIGN = NodeKey.from_seed(b"a key that nobody certified".ljust(32))
Extensions = Sequence[tuple[x509.ExtensionType, bool]]


def forged(
    like: x509.Certificate,
    key: NodeKey,
    *,
    subject: x509.Name | None = None,
    issuer: x509.Name | None = None,
    drop: Sequence[x509.ObjectIdentifier] = (),
    add: Extensions = (),
) -> bytes:
    """Return a certificate like another with changes, signed by any key."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject or like.subject)
        .issuer_name(issuer or like.issuer)
        .not_valid_before(like.not_valid_before_utc)
        .not_valid_after(like.not_valid_after_utc)
        .serial_number(like.serial_number)
        .public_key(like.public_key())
    )
    gone = {*drop, *(value.oid for value, _ in add)}
    kept = [(each.value, each.critical) for each in like.extensions if each.oid not in gone]
    for value, critical in [*kept, *add]:
        builder = builder.add_extension(value, critical)
    return builder.sign(key.private_key, None).public_bytes(Encoding.DER)


def renamed(name: str, common: str, serial: str) -> x509.Name:
    """Return a subject in the order of attributes that a node's has."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, name),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, serial),
        ]
    )


def names(*uris: str) -> x509.SubjectAlternativeName:
    """Return the extension with these URIs."""
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])


def usage(*, crl_sign: bool = True, key_agreement: bool = False) -> x509.KeyUsage:
    """Return the key usage of a node, or one that differs."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=key_agreement,
        key_cert_sign=True,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def refused() -> Iterator[tuple[str, list[bytes]]]:
    """Yield chains that nobody may accept, with what is wrong."""
    commune, province, centre = place(COMMUNE), place(PROVINCE), place(CENTRE)
    own, (der, above) = commune.chain[0], commune.der
    key = province.key
    yield "no certificate", []
    yield "the one above is missing", [der]
    yield "from above downwards", [above, der]
    yield "the one above is not the issuer", [der, *centre.der]
    yield "the root stands in it", [*commune.der, root().public_bytes(Encoding.DER)]
    yield "the signature is altered", [der[:-1] + bytes([der[-1] ^ 1]), above]
    yield "a byte follows", [der + b"\0", above]
    yield "signed by somebody else", [forged(own, FOREIGN), above]
    yield "names another issuer", [forged(own, key, issuer=centre.chain[0].subject), above]
    request = make_request(FOREIGN, Tier.PROVINCE, "42", "Hà Tĩnh")
    other = issue(root(), root_key(), request, NOW_MS, 365)
    moved = forged(own, FOREIGN, issuer=other.subject)
    yield "a commune of another province", [moved, other.public_bytes(Encoding.DER)]
    yield "issued by a commune", [forged(own, commune.key, issuer=own.subject), *commune.der]
    spare = [(x509.UnrecognizedExtension(SUCCEEDS_OID, b"\x04\x20" + b"k" * 32), False)]
    yield (
        "a province that succeeds a key",
        [forged(place(PROVINCE).chain[0], root_key(), add=spare)],
    )
    outpost = place(OUTPOST)
    is_authority = [(x509.BasicConstraints(ca=True, path_length=0), True), (usage(), True)]
    yield (
        "an outpost that may certify",
        [forged(outpost.chain[0], commune.key, add=is_authority), *commune.der],
    )
    lent = forged(place("40.17083.2").chain[0], outpost.key, issuer=outpost.chain[0].subject)
    yield "issued by an outpost", [lent, *outpost.der]
    foreign = forged(place("40.17084.1").chain[0], commune.key, issuer=own.subject)
    yield "an outpost of another commune", [foreign, *commune.der]
    for what, how in WRONG.items():
        yield what, [forged(own, key, **how), above]


WRONG: dict[str, dict[str, Any]] = {
    "subject and URI differ": {"add": [(names("tiepdan:commune:40.17084"), False)]},
    "two URIs": {"add": [(names(*["tiepdan:commune:40.17083"] * 2), False)]},
    "no URI": {"drop": [x509.SubjectAlternativeName.oid]},
    "no office key": {"drop": [OFFICE_KEY_OID]},
    "the office key is too short": {
        "add": [(x509.UnrecognizedExtension(OFFICE_KEY_OID, b"\x04\x1f" + b"k" * 31), False)]
    },
    "the office key is critical": {
        "add": [(x509.UnrecognizedExtension(OFFICE_KEY_OID, b"\x04\x20" + b"k" * 32), True)]
    },
    "an unknown extension is critical": {
        "add": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True)]
    },
    "the key that it succeeds is too short": {
        "add": [(x509.UnrecognizedExtension(SUCCEEDS_OID, b"\x04\x1f" + b"k" * 31), False)]
    },
    "the key that it succeeds is critical": {
        "add": [(x509.UnrecognizedExtension(SUCCEEDS_OID, b"\x04\x20" + b"k" * 32), True)]
    },
    "no CA": {"add": [(x509.BasicConstraints(ca=False, path_length=None), True)]},
    "another path length": {"add": [(x509.BasicConstraints(ca=True, path_length=1), True)]},
    "the key usage lacks cRLSign": {"add": [(usage(crl_sign=False), True)]},
    "the key usage has keyAgreement": {"add": [(usage(key_agreement=True), True)]},
    "the name has a letter that shows nothing": {
        "subject": renamed("Mỹ\u200bLý", "tiepdan commune 40.17083", "40.17083")
    },
    "the attributes stand in another order": {
        "subject": x509.Name(list(renamed("Mỹ Lý", "tiepdan commune 40.17083", "40.17083"))[::-1])
    },
}


def reason(chain: Sequence[bytes]) -> str:
    """Return why a chain is refused.

    Raises:
        AssertionError: it is not.
    """
    try:
        verify_chain(chain_from_der(chain), root(), None)
    except CryptoError as error:
        return error.code
    raise AssertionError("a chain that nobody may accept was accepted")


def certificates(_: Earlier) -> Any:
    """Return good chains with whom they name, and others."""
    own = place(COMMUNE)
    extra = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")
    good = [spare_of(own, b"spare").der]
    good += [place(code).der for code in (CENTRE, PROVINCE, COMMUNE, OUTPOST)]
    good.append([forged(own.chain[0], place(PROVINCE).key, add=[(extra, False)]), own.der[1]])
    subjects = [verify_chain(chain_from_der(chain), root(), None) for chain in good]
    return {
        "good": [
            {
                "chain": chain,
                "code": subject.code,
                "name": subject.name,
                "office_key": subject.office_public,
                "peer_id": subject.peer_id,
                "succeeds": subject.succeeds,
                "tier": subject.tier.value,
            }
            for chain, subject in zip(good, subjects, strict=True)
        ],
        "refused": [
            {"chain": chain, "reason": reason(chain), "what": what} for what, chain in refused()
        ],
        "root": root().public_bytes(Encoding.DER),
    }
