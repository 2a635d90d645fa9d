"""What the thief of a site's key would make."""

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from crypto.site import _sign_leaf


def forged_page(
    site: x509.Certificate,
    site_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePublicKey,
    good: x509.Certificate,
    name: x509.GeneralName,
) -> x509.Certificate:
    """Return a page certificate for any name, else like a good one."""
    builder = (
        x509.CertificateBuilder(site.subject, good.subject, key, 7)
        .not_valid_before(good.not_valid_before_utc)
        .not_valid_after(good.not_valid_after_utc)
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
    )
    return _sign_leaf(builder, site_key, ExtendedKeyUsageOID.SERVER_AUTH)
