"""Which tier issues for which, and what the code of an office looks like.

root (0) ── centre (0)
         └─ province (40) ── commune (40.17083) ── outpost (40.17083.1)

An outpost is a machine of a commune that works away from it and certifies nobody.
"""

import re

from crypto.errors import CertificateError
from schemas.codes import Tier

ROOT_CODE = "0"

# How many issuers may stand below: communes under a province. The root has one level more than
# today, because it lives longest. None: it issues nothing.
PATH_LENGTH: dict[Tier, int | None] = {
    Tier.ROOT: 3,
    Tier.CENTRE: 0,
    Tier.PROVINCE: 1,
    Tier.COMMUNE: 0,
    Tier.OUTPOST: None,
}

_CHILDREN: dict[Tier, tuple[Tier, ...]] = {
    Tier.ROOT: (Tier.CENTRE, Tier.PROVINCE),
    Tier.CENTRE: (),
    Tier.PROVINCE: (Tier.COMMUNE,),
    Tier.COMMUNE: (Tier.OUTPOST,),
    Tier.OUTPOST: (),
}
_CODE = {
    Tier.ROOT: re.compile("0"),
    Tier.CENTRE: re.compile("0"),
    Tier.PROVINCE: re.compile("(?!0$)[0-9]{1,2}"),
    Tier.COMMUNE: re.compile(r"(?!0\.)[0-9]{1,2}\.[0-9]{1,5}"),
    Tier.OUTPOST: re.compile(r"(?!0\.)[0-9]{1,2}\.[0-9]{1,5}\.[1-9][0-9]?"),
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
            "Codes are 0 for the centre, 40 for a province, 40.17083 for a commune, 40.17083.1 for"
            " an outpost of it.",
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
            "The root issues for the centre and provinces, a province for its communes, a commune"
            " for its outposts.",
        )
    if issuer_tier is not Tier.ROOT and not code.startswith(issuer_code + "."):
        raise CertificateError(
            "certificate_wrong_code",
            f"the {tier} {code} does not belong to the {issuer_tier} {issuer_code}",
            f"Ask the {issuer_tier} of that {tier} for the certificate.",
        )


def is_above(code: str, other: str) -> bool:
    """Tell whether the office with one code stands above the office with the other."""
    is_below = any(
        _CODE[tier].fullmatch(other) for tier in (Tier.PROVINCE, Tier.COMMUNE, Tier.OUTPOST)
    )
    return is_below and (code == ROOT_CODE or other.startswith(code + "."))


def office_code(code: str) -> str:
    """Return the code of the office that a node belongs to: an outpost is one of its commune."""
    return code.rpartition(".")[0] if _CODE[Tier.OUTPOST].fullmatch(code) else code


def tier_of(code: str) -> Tier:
    """Return the tier of the node with that code; "0" is the centre's.

    Raises:
        CertificateError: certificate_wrong_code.
    """
    for tier in (Tier.CENTRE, Tier.PROVINCE, Tier.COMMUNE):
        if _CODE[tier].fullmatch(code):
            return tier
    check_code(Tier.OUTPOST, code)
    return Tier.OUTPOST


def is_directly_above(code: str, other: str) -> bool:
    """Tell whether the node with one code certifies, or links with, the one with the other."""
    return is_above(code, other) and (other.rpartition(".")[0] or ROOT_CODE) == code
