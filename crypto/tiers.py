"""Which tier issues for which, and what the code of an office looks like.

root (0) ── centre (0)
         └─ province (40) ── commune (40.17083) ── its devices
"""

import re

from crypto.errors import CertificateError
from schemas.codes import Tier

ROOT_CODE = "0"

# How many issuers may stand below: communes and then their devices under a province. The root has
# one level more than today, because it lives longest.
PATH_LENGTH = {Tier.ROOT: 3, Tier.CENTRE: 0, Tier.PROVINCE: 1, Tier.COMMUNE: 0}

_CHILDREN: dict[Tier, tuple[Tier, ...]] = {
    Tier.ROOT: (Tier.CENTRE, Tier.PROVINCE),
    Tier.CENTRE: (),
    Tier.PROVINCE: (Tier.COMMUNE,),
    Tier.COMMUNE: (),
}
_CODE = {
    Tier.ROOT: re.compile("0"),
    Tier.CENTRE: re.compile("0"),
    Tier.PROVINCE: re.compile("(?!0$)[0-9]{1,2}"),
    Tier.COMMUNE: re.compile(r"(?!0\.)[0-9]{1,2}\.[0-9]{1,5}"),
}


def check_code(tier: Tier, code: str) -> None:
    """Check that an office of that tier can have that code.

    Raises:
        CertificateError: certificate_wrong_code.
    """
    if not _CODE[tier].fullmatch(code):
        raise CertificateError(
            "certificate_wrong_code",
            f"{code!r:.20} is not the code of a {tier}",
            "Codes are 0 for the centre, 40 for a province, 40.17083 for a commune.",
        )


def check_child(*, issuer_tier: Tier, issuer_code: str, tier: Tier, code: str) -> None:
    """Check that one office may issue a certificate for another.

    Raises:
        CertificateError: certificate_wrong_tier or certificate_wrong_code.
    """
    if tier not in _CHILDREN[issuer_tier]:
        raise CertificateError(
            "certificate_wrong_tier",
            f"a {issuer_tier} node issues no certificate for a {tier} node",
            "The root issues for the centre and provinces, a province for its communes.",
        )
    if tier is Tier.COMMUNE and not code.startswith(issuer_code + "."):
        raise CertificateError(
            "certificate_wrong_code",
            f"the commune {code} does not lie in the province {issuer_code}",
            "Ask the province of that commune for the certificate.",
        )


def is_above(code: str, other: str) -> bool:
    """Tell whether the office with one code stands above the office with the other."""
    is_office = any(_CODE[tier].fullmatch(other) for tier in (Tier.PROVINCE, Tier.COMMUNE))
    return is_office and (code == ROOT_CODE or other.startswith(code + "."))
