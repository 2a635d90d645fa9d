"""Only the right office can vouch for another, and stock OpenSSL comes to the same result.

Method: a small tree of offices built by the module itself, then every wrong certificate that an
office or a forger could present, made with the X.509 library directly.
"""

import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from crypto.certificates import (
    BACKDATE_MS,
    NAME_CHARS_MAX,
    chain_to_pem,
    check_peer,
    issue,
    make_request,
    make_root,
    request_from_pem,
    request_to_pem,
    subject_of,
    subject_of_request,
    verify_chain,
)
from crypto.errors import CertificateError
from crypto.extensions import OFFICE_KEY_OID
from crypto.identity import NodeKey
from schemas.codes import Tier

NOW_MS = 1_790_000_000_000
DAY_MS = 24 * 60 * 60 * 1000
ROOT_KEY, CENTRE_KEY, PROVINCE_KEY, COMMUNE_KEY, OTHER_KEY, FORGER_KEY = (
    NodeKey.from_seed(bytes([number]) * 32) for number in range(1, 7)
)
COMMUNE_NAME = "Ủy ban nhân dân phường Nam Nha Trang, tỉnh Khánh Hòa (mẫu)"

ROOT = make_root(ROOT_KEY, "Gốc tiếp dân", NOW_MS, 3650)
CENTRE = issue(
    ROOT,
    ROOT_KEY,
    make_request(CENTRE_KEY, Tier.CENTRE, "0", "Ban Tiếp công dân Trung ương"),
    NOW_MS,
    730,
)
PROVINCE = issue(
    ROOT, ROOT_KEY, make_request(PROVINCE_KEY, Tier.PROVINCE, "40", "Tỉnh mẫu"), NOW_MS, 730
)
OTHER_PROVINCE = issue(
    ROOT, ROOT_KEY, make_request(OTHER_KEY, Tier.PROVINCE, "41", "Tỉnh khác"), NOW_MS, 730
)
COMMUNE_REQUEST = make_request(COMMUNE_KEY, Tier.COMMUNE, "40.17083", COMMUNE_NAME)
COMMUNE = issue(PROVINCE, PROVINCE_KEY, COMMUNE_REQUEST, NOW_MS, 365)
CHAIN = [COMMUNE, PROVINCE]


def forge(
    like: x509.Certificate,
    key: NodeKey | ec.EllipticCurvePrivateKey,
    *,
    subject: x509.Name | None = None,
    issuer: x509.Name | None = None,
    drop: Sequence[x509.ObjectIdentifier] = (),
    add: Sequence[tuple[x509.ExtensionType, bool]] = (),
    public_key: ec.EllipticCurvePublicKey | None = None,
) -> x509.Certificate:
    """Return a copy of a certificate with changes, signed by any key."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(like.subject if subject is None else subject)
        .issuer_name(issuer or like.issuer)
        .not_valid_before(like.not_valid_before_utc)
        .not_valid_after(like.not_valid_after_utc)
        .serial_number(like.serial_number)
    )
    own = like.public_key()
    assert not isinstance(own, ec.EllipticCurvePublicKey)
    builder = builder.public_key(public_key or COMMUNE_KEY.private_key.public_key())
    replaced = {extension.oid for extension, _ in add}
    for extension in like.extensions:
        if extension.oid not in replaced and extension.oid not in drop:
            builder = builder.add_extension(extension.value, extension.critical)
    for value, critical in add:
        builder = builder.add_extension(value, critical)
    if isinstance(key, NodeKey):
        return builder.sign(key.private_key, None)
    return builder.sign(key, hashes.SHA256())


def refused(
    chain: Sequence[x509.Certificate],
    code: str,
    *,
    root: x509.Certificate = ROOT,
    now_ms: int | None = NOW_MS,
) -> CertificateError:
    with pytest.raises(CertificateError) as caught:
        verify_chain(chain, root, now_ms)
    assert caught.value.code == code
    assert caught.value.hint.endswith(".")
    return caught.value


def openssl_verify(
    folder: Path, root: x509.Certificate, chain: Sequence[x509.Certificate], *options: str
) -> subprocess.CompletedProcess[str]:
    (folder / "root.pem").write_bytes(chain_to_pem([root]))
    (folder / "leaf.pem").write_bytes(chain_to_pem(chain[:1]))
    command = ["openssl", "verify", "-x509_strict", "-attime", str(NOW_MS // 1000), *options]
    command += ["-CAfile", "root.pem"]
    if chain[1:]:
        (folder / "issuers.pem").write_bytes(chain_to_pem(chain[1:]))
        command += ["-untrusted", "issuers.pem"]
    return subprocess.run(
        [*command, "leaf.pem"], cwd=folder, capture_output=True, text=True, check=False, timeout=30
    )


# Good chains


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ([CENTRE], (Tier.CENTRE, "0", CENTRE_KEY)),
        ([PROVINCE], (Tier.PROVINCE, "40", PROVINCE_KEY)),
        (CHAIN, (Tier.COMMUNE, "40.17083", COMMUNE_KEY)),
    ],
    ids=["centre", "province", "commune"],
)
def test_every_tier_is_recognised(
    chain: list[x509.Certificate], expected: tuple[Tier, str, NodeKey]
) -> None:
    tier, code, key = expected
    subject = verify_chain(chain, ROOT, NOW_MS)
    assert (subject.tier, subject.code) == (tier, code)
    assert (subject.peer_id, subject.office_public) == (key.peer_id, key.office_public)
    assert subject == subject_of(chain[0])


def test_a_long_vietnamese_name_survives() -> None:
    assert len(COMMUNE_NAME) <= NAME_CHARS_MAX < len(COMMUNE_NAME.encode())
    assert verify_chain(CHAIN, ROOT, NOW_MS).name == COMMUNE_NAME


@pytest.mark.parametrize("purpose", ["sslserver", "sslclient"])
@pytest.mark.parametrize("chain", [[CENTRE], [PROVINCE], CHAIN], ids=["centre", "province", "xa"])
def test_openssl_accepts_every_tier_as_server_and_client(
    tmp_path: Path, chain: list[x509.Certificate], purpose: str
) -> None:
    result = openssl_verify(tmp_path, ROOT, chain, "-purpose", purpose)
    assert result.stdout == "leaf.pem: OK\n", result.stderr


def test_openssl_accepts_a_device_below_a_commune(tmp_path: Path) -> None:
    device_key = ec.generate_private_key(ec.SECP256R1())
    device = forge(
        COMMUNE,
        COMMUNE_KEY,
        subject=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Bàn 1")]),
        issuer=COMMUNE.subject,
        public_key=device_key.public_key(),
        add=[
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.SubjectKeyIdentifier.from_public_key(device_key.public_key()), False),
            (x509.KeyUsage(True, *[False] * 8), True),
            (authority_of(COMMUNE_KEY), False),
        ],
    )
    result = openssl_verify(tmp_path, ROOT, [device, *CHAIN], "-purpose", "sslserver")
    assert result.stdout == "leaf.pem: OK\n", result.stderr


def authority_of(key: NodeKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.private_key.public_key())


def test_openssl_refuses_what_we_refuse(tmp_path: Path) -> None:
    forged = forge(COMMUNE, FORGER_KEY)
    foreign = make_root(FORGER_KEY, "Gốc khác", NOW_MS, 3650)
    for root, chain in ((ROOT, [forged, PROVINCE]), (foreign, CHAIN)):
        assert openssl_verify(tmp_path, root, chain).returncode != 0
        with pytest.raises(CertificateError):
            verify_chain(chain, root, NOW_MS)


def test_the_same_request_gives_the_same_certificate() -> None:
    again = issue(PROVINCE, PROVINCE_KEY, COMMUNE_REQUEST, NOW_MS, 365)
    assert again == COMMUNE
    later = issue(PROVINCE, PROVINCE_KEY, COMMUNE_REQUEST, NOW_MS + DAY_MS, 365)
    assert later.serial_number != COMMUNE.serial_number


def test_a_certificate_never_outlives_its_issuer() -> None:
    long = issue(PROVINCE, PROVINCE_KEY, COMMUNE_REQUEST, NOW_MS, 9999)
    assert long.not_valid_after_utc == PROVINCE.not_valid_after_utc
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        milliseconds=NOW_MS, days=365
    ) - COMMUNE.not_valid_after_utc < timedelta(seconds=1)


# Time


def test_an_expired_certificate_is_refused() -> None:
    end_ms = int(COMMUNE.not_valid_after_utc.timestamp()) * 1000
    verify_chain(CHAIN, ROOT, end_ms)
    refused(CHAIN, "certificate_expired", now_ms=end_ms + 1000)


def test_a_certificate_from_the_future_is_refused() -> None:
    verify_chain(CHAIN, ROOT, NOW_MS - BACKDATE_MS)
    refused(CHAIN, "certificate_not_yet_valid", now_ms=NOW_MS - BACKDATE_MS - 1000)


def test_an_expired_issuer_or_root_spoils_the_chain() -> None:
    root = make_root(ROOT_KEY, "Gốc tiếp dân", NOW_MS, 10)
    error = refused([PROVINCE], "certificate_expired", root=root, now_ms=NOW_MS + 11 * DAY_MS)
    assert "Gốc" in str(error)


def test_old_records_are_checked_without_a_clock() -> None:
    assert verify_chain(CHAIN, ROOT, None).code == "40.17083"


def test_an_issuer_that_is_not_valid_issues_nothing() -> None:
    for now_ms, code in (
        (NOW_MS + 731 * DAY_MS, "certificate_expired"),
        (NOW_MS - 2 * DAY_MS, "certificate_not_yet_valid"),
    ):
        with pytest.raises(CertificateError) as caught:
            issue(PROVINCE, PROVINCE_KEY, COMMUNE_REQUEST, now_ms, 365)
        assert caught.value.code == code


# Who may issue what


@pytest.mark.parametrize(
    ("issuer", "key", "tier", "code", "expected"),
    [
        (ROOT, ROOT_KEY, Tier.COMMUNE, "40.1", "certificate_wrong_tier"),
        (ROOT, ROOT_KEY, Tier.ROOT, "0", "certificate_wrong_tier"),
        (CENTRE, CENTRE_KEY, Tier.PROVINCE, "40", "certificate_wrong_tier"),
        (CENTRE, CENTRE_KEY, Tier.COMMUNE, "40.1", "certificate_wrong_tier"),
        (PROVINCE, PROVINCE_KEY, Tier.PROVINCE, "41", "certificate_wrong_tier"),
        (PROVINCE, PROVINCE_KEY, Tier.CENTRE, "0", "certificate_wrong_tier"),
        (PROVINCE, PROVINCE_KEY, Tier.COMMUNE, "41.17083", "certificate_wrong_code"),
        (PROVINCE, PROVINCE_KEY, Tier.COMMUNE, "4.17083", "certificate_wrong_code"),
        (COMMUNE, COMMUNE_KEY, Tier.COMMUNE, "40.2", "certificate_wrong_tier"),
        (PROVINCE, OTHER_KEY, Tier.COMMUNE, "40.17083", "certificate_wrong_issuer"),
    ],
)
def test_an_office_issues_only_for_the_tier_below_it(
    issuer: x509.Certificate, key: NodeKey, tier: Tier, code: str, expected: str
) -> None:
    request = make_request(FORGER_KEY, tier, code, "Ai đó")
    with pytest.raises(CertificateError) as caught:
        issue(issuer, key, request, NOW_MS, 365)
    assert caught.value.code == expected


@pytest.mark.parametrize(
    ("tier", "code"),
    [
        (Tier.CENTRE, "1"),
        (Tier.PROVINCE, "0"),
        (Tier.PROVINCE, "123"),
        (Tier.PROVINCE, "40\n"),
        (Tier.PROVINCE, "40.1"),
        (Tier.COMMUNE, "40"),
        (Tier.COMMUNE, "40."),
        (Tier.COMMUNE, ".17083"),
        (Tier.COMMUNE, "40.170830"),
        (Tier.COMMUNE, "40.17083.1"),
        (Tier.COMMUNE, "0.17083"),
        (Tier.COMMUNE, "٤٠.17083"),
        (Tier.COMMUNE, ""),
    ],
)
def test_a_malformed_code_gets_no_request(tier: Tier, code: str) -> None:
    with pytest.raises(CertificateError) as caught:
        make_request(COMMUNE_KEY, tier, code, "Xã")
    assert caught.value.code == "certificate_wrong_code"


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "a\x00"])
def test_a_name_that_cannot_stand_in_a_certificate_is_refused(name: str) -> None:
    with pytest.raises(CertificateError):
        make_request(COMMUNE_KEY, Tier.COMMUNE, "40.17083", name)
    with pytest.raises(CertificateError):
        make_root(ROOT_KEY, name, NOW_MS, 365)


def test_an_altered_request_is_refused() -> None:
    data = bytearray(COMMUNE_REQUEST.public_bytes(Encoding.DER))
    data[-1] ^= 1
    altered = x509.load_der_x509_csr(bytes(data))
    with pytest.raises(CertificateError) as caught:
        issue(PROVINCE, PROVINCE_KEY, altered, NOW_MS, 365)
    assert caught.value.code == "certificate_bad_signature"


def test_a_request_says_who_asks() -> None:
    subject = subject_of_request(request_from_pem(request_to_pem(COMMUNE_REQUEST)))
    assert subject == subject_of(COMMUNE)


def test_a_request_cannot_smuggle_in_other_rights() -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(COMMUNE_REQUEST.subject)
    for extension in COMMUNE_REQUEST.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=9), critical=True)
    request = builder.sign(COMMUNE_KEY.private_key, None)
    assert issue(PROVINCE, PROVINCE_KEY, request, NOW_MS, 365).tbs_certificate_bytes == (
        COMMUNE.tbs_certificate_bytes
    )


# Wrong chains


def test_a_forged_certificate_is_refused() -> None:
    refused([forge(COMMUNE, FORGER_KEY), PROVINCE], "certificate_bad_signature")


def test_a_certificate_of_another_tree_is_refused() -> None:
    refused(
        CHAIN,
        "certificate_wrong_issuer",
        root=make_root(FORGER_KEY, "Gốc khác", NOW_MS, 3650),
    )
    refused(
        CHAIN,
        "certificate_bad_signature",
        root=make_root(FORGER_KEY, "Gốc tiếp dân", NOW_MS, 3650),
    )


def test_a_chain_with_a_gap_or_in_the_wrong_order_is_refused() -> None:
    refused([COMMUNE], "certificate_wrong_issuer")
    refused([COMMUNE, CENTRE], "certificate_wrong_issuer")
    refused([COMMUNE, OTHER_PROVINCE], "certificate_wrong_issuer")
    refused(CHAIN[::-1], "certificate_wrong_issuer")
    refused([], "certificate_malformed")
    refused([COMMUNE] * 4, "certificate_malformed")


def test_the_root_itself_is_no_node() -> None:
    refused([ROOT], "certificate_wrong_tier")


def test_a_province_is_no_root() -> None:
    refused([COMMUNE], "certificate_wrong_tier", root=PROVINCE)


def test_a_province_cannot_vouch_for_a_commune_of_another_province() -> None:
    stray = forge(COMMUNE, OTHER_KEY, issuer=OTHER_PROVINCE.subject)
    refused([stray, OTHER_PROVINCE], "certificate_wrong_code")


def test_a_province_whose_code_begins_alike_cannot_vouch_either() -> None:
    request = make_request(OTHER_KEY, Tier.PROVINCE, "4", "Tỉnh bốn")
    province = issue(ROOT, ROOT_KEY, request, NOW_MS, 730)
    stray = forge(COMMUNE, OTHER_KEY, issuer=province.subject)
    refused([stray, province], "certificate_wrong_code")


def test_a_commune_with_a_malformed_code_is_refused() -> None:
    odd = forge(COMMUNE, PROVINCE_KEY, add=[(uri("tiepdan:commune:40.17083x"), False)])
    refused([odd, PROVINCE], "certificate_wrong_code")


def test_a_commune_cannot_vouch_for_a_province() -> None:
    stray = forge(PROVINCE, COMMUNE_KEY, issuer=COMMUNE.subject)
    refused([stray, *CHAIN], "certificate_wrong_tier")


def uri(text: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(text)])


def office(value: bytes) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(OFFICE_KEY_OID, value)


@pytest.mark.parametrize(
    ("value", "critical"),
    [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (x509.BasicConstraints(ca=True, path_length=5), True),
        (x509.KeyUsage(True, *[False] * 8), True),
        (uri("tiepdan:commune"), False),
        (uri("tiepdan:commune:40.17083:1"), False),
        (uri("tiepdan:commune:40.17084"), False),
        (uri("tiepdan:village:40.17083"), False),
        (uri("other:commune:40.17083"), False),
        (x509.SubjectAlternativeName([x509.DNSName("tiepdan")]), False),
        (
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier("tiepdan:commune:40.17083")] * 2
            ),
            False,
        ),
        (office(b""), False),
        (office(b"\x04\x20" + bytes(31)), False),
        (office(b"\x04\x21" + bytes(32)), False),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True),
    ],
)
def test_a_certificate_beside_the_profile_is_refused(
    value: x509.ExtensionType, critical: bool
) -> None:
    odd = forge(COMMUNE, PROVINCE_KEY, add=[(value, critical)])
    refused([odd, PROVINCE], "certificate_malformed")


@pytest.mark.parametrize(
    "oid",
    [x509.BasicConstraints.oid, x509.KeyUsage.oid, x509.SubjectAlternativeName.oid, OFFICE_KEY_OID],
    ids=lambda oid: oid.dotted_string,
)
def test_a_certificate_that_lacks_a_part_is_refused(oid: x509.ObjectIdentifier) -> None:
    refused([forge(COMMUNE, PROVINCE_KEY, drop=[oid]), PROVINCE], "certificate_malformed")


def test_a_certificate_whose_subject_says_something_else_is_refused() -> None:
    name = (NameOID.ORGANIZATION_NAME, "Xã")
    common = (NameOID.COMMON_NAME, "tiepdan commune 40.17083")
    code = (NameOID.SERIAL_NUMBER, "40.17083")
    for attributes in (
        [],
        [name, common],
        [common, code],
        [name, common, (NameOID.SERIAL_NUMBER, "40.99999")],
        [name, (NameOID.COMMON_NAME, "tiepdan province 40"), code],
        [name, common, code, code],
        [common, name, code],
        [(NameOID.ORGANIZATION_NAME, "Xã\n"), common, code],
    ):
        subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
        odd = forge(COMMUNE, PROVINCE_KEY, subject=subject)
        refused([odd, PROVINCE], "certificate_malformed")
    same = x509.Name([x509.NameAttribute(oid, value) for oid, value in (name, common, code)])
    verify_chain([forge(COMMUNE, PROVINCE_KEY, subject=same), PROVINCE], ROOT, NOW_MS)


def test_a_certificate_with_another_kind_of_key_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    odd = forge(COMMUNE, PROVINCE_KEY, public_key=key.public_key())
    refused([odd, PROVINCE], "certificate_malformed")
    refused([forge(COMMUNE, key), PROVINCE], "certificate_malformed")


def test_an_unexpected_peer_is_named() -> None:
    subject = subject_of(COMMUNE)
    check_peer(subject, tier=Tier.COMMUNE, code="40.17083")
    for tier, code, expected in (
        (Tier.PROVINCE, "40.17083", "certificate_wrong_tier"),
        (Tier.COMMUNE, "40.17084", "certificate_wrong_code"),
    ):
        with pytest.raises(CertificateError) as caught:
            check_peer(subject, tier=tier, code=code)
        assert caught.value.code == expected
