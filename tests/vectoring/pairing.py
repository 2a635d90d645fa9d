"""Section 13: pairings by QR code and by 8 digits, and the proof of a device's key."""

import random
from typing import Any, Final

from crypto import p256
from crypto.identity import device_id
from crypto.pairing import DevicePairing, NodePairing, Way, mint_secret
from crypto.site import certificate_der, fingerprint, issue_device, make_site
from node.devices import signed_challenge
from tests.sync.builders import COMMUNE, NOW_MS, place
from tests.vectoring.layout import Earlier

_SITE_SEED: Final = 11
_DEVICE_SEED: Final = 12


def pairing(_: Earlier) -> Any:
    """Return a site, a pairing of each way, a device's certificate and a proof."""
    site_key = p256.p256_key(random.Random(_SITE_SEED).randbytes(p256.SECRET_BYTES))
    site = make_site(site_key, "Xã Mỹ Lý", COMMUNE, NOW_MS)
    device_key = p256.p256_key(random.Random(_DEVICE_SEED).randbytes(p256.SECRET_BYTES))
    point = p256.point_of(device_key.public_key())
    seen = fingerprint(site)
    challenge = random.Random(13).randbytes(40)
    return {
        "site": {"certificate": certificate_der(site), "fingerprint": seen},
        "device": {
            "certificate": certificate_der(
                issue_device(site, site_key, point, "Máy bảng quầy 1", NOW_MS)
            ),
            "id": device_id(point),
            "point": point,
        },
        "pairings": [_told(way, seen) for way in Way],
        "proof": {
            "challenge": challenge,
            "signature": p256.sign(device_key, signed_challenge(seen, challenge)),
        },
    }


def _told(way: Way, site: bytes) -> dict[str, Any]:
    """Return all that is said in one pairing, and what both sides derive."""
    draw = random.Random(way.value).randbytes
    secret = mint_secret(way, draw)
    node = NodePairing(
        way=way, secret=secret, key=place(COMMUNE).key, site=site, now_ms=0, entropy=draw
    )
    device = DevicePairing(
        way=way,
        secret=secret,
        key=p256.p256_key(random.Random(_DEVICE_SEED).randbytes(p256.SECRET_BYTES)),
        expected_site=site if way is Way.QR else b"",
        entropy=draw,
    )
    greeting = node.greet(device.hello, 0)
    shown = device.prove(greeting, site)
    answer = node.prove(shown, 0)
    return {
        "way": way.value,
        "shown": secret.decode() if way is Way.CODE else secret,
        "hello": {
            "offer": device.hello.offer,
            "commitment": device.hello.commitment,
            "spake": device.hello.spake,
        },
        "greeting": {
            "site": greeting.site,
            "peer_id": greeting.peer_id,
            "nonce": greeting.nonce,
            "spake": greeting.spake,
        },
        "key": device._secret,
        "proof": {
            "point": shown.point,
            "nonce": shown.nonce,
            "proof": shown.proof,
            "signature": shown.signature,
        },
        "answer": {"proof": answer.proof, "signature": answer.signature},
        "digits": device.finish(answer),
    }
