"""Our own extensions of certificates: a 32-byte key each, in an OCTET STRING, never critical.

The arc 32473 is the one that RFC 5612 keeps for examples and belongs to nobody; an authority that
runs this nationally puts its own enterprise number here, before the first root.
"""

from cryptography import x509

from crypto.tiers import PATH_LENGTH
from schemas.codes import Tier

# X25519 key to which values for this office are sealed.
OFFICE_KEY_OID = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1.1")
# Peer id of the key that this one may take the place of.
SUCCEEDS_OID = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1.2")
_OCTET_STRING_32 = b"\x04\x20"
_VALUE_BYTES = 34


def key_extension(oid: x509.ObjectIdentifier, key: bytes) -> x509.UnrecognizedExtension:
    """Return the extension with a key of 32 bytes."""
    return x509.UnrecognizedExtension(oid, _OCTET_STRING_32 + key)


def key_in(extensions: x509.Extensions, oid: x509.ObjectIdentifier) -> bytes:
    """Return the 32 bytes of an extension.

    Raises:
        ValueError: they are not 32 bytes.
        x509.ExtensionNotFound: there is none.
    """
    found = extensions.get_extension_for_oid(oid).value
    value = found.value if isinstance(found, x509.UnrecognizedExtension) else b""
    if len(value) != _VALUE_BYTES or not value.startswith(_OCTET_STRING_32):
        raise ValueError(f"the key in {oid.dotted_string} does not have 32 bytes")
    return value[len(_OCTET_STRING_32) :]


def constraints_of(tier: Tier) -> x509.BasicConstraints:
    """Return for whom a node of a tier may sign certificates, as its own says."""
    path_length = PATH_LENGTH[tier]
    return x509.BasicConstraints(ca=path_length is not None, path_length=path_length)


def key_usage_of(tier: Tier) -> x509.KeyUsage:
    """Return what the key of a node of a tier may be used for, as its certificate says."""
    signs_others = PATH_LENGTH[tier] is not None
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_others,
        crl_sign=signs_others,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
