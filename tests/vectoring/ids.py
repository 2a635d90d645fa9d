"""Section 1: keys, ids and clock readings."""

import random
from typing import Any

from crypto.identity import actor_id, device_id, log_id
from crypto.seal import office_key_id
from schemas.hlc import observe, reading, tick
from schemas.ids import document_text, event_id, mint_document_id
from sync.scope import is_within
from tests.sync.builders import CENTRE, COMMUNE, NEIGHBOUR, NOW_MS, PROVINCE, place, root_key
from tests.vectoring.layout import Earlier

DAY_MS = 86_400_000


def keys(_: Earlier) -> Any:
    """Return the keys of all nodes that the vectors know, secret ones too."""
    found = {code: place(code).key for code in (CENTRE, PROVINCE, COMMUNE, NEIGHBOUR)}
    return {
        code: {
            "office_key": key.office_public,
            "office_key_id": office_key_id(key.office_public),
            "office_key_secret": key.office_private.private_bytes_raw(),
            "peer_id": key.peer_id,
            "signing_key_secret": key.private_key.private_bytes_raw(),
        }
        for code, key in {**found, "root": root_key()}.items()
    }


def ids(_: Earlier) -> Any:
    """Return ids with all that they are made of."""
    commune, province = place(COMMUNE).key.peer_id, place(PROVINCE).key.peer_id
    own, browser = device_id(commune), bytes(range(16))
    document = mint_document_id(NOW_MS, random.Random(7))
    logs = [(commune, "up", 0), (commune, "up", 1), (commune, "up", 1 << 32)]
    logs += [(province, f"down/{commune.hex()}", 0), (province, f"down/{commune.hex()}", 2)]
    actors = [(own, 0), (own, 1), (browser, 0)]
    return {
        "actors": [
            {
                "actor": actor_id(commune, device, epoch, document),
                "device": device,
                "document": document,
                "epoch": epoch,
                "peer_id": commune,
            }
            for device, epoch in actors
        ],
        **clocks(),
        "codes_within": [
            {"code": code, "is_within": is_within(code, other), "other": other}
            for code, other in (
                ("40.17083", "40"),
                ("40.17083", "0"),
                ("40", "40"),
                ("40", "40.17083"),
                ("40.17083", "4"),
                ("40.17083", "40.1708"),
                ("0", "40"),
            )
        ],
        "devices": [
            {"device": own, "key": commune},
            *(
                {
                    "device_in_epoch": device_id(own + epoch.to_bytes(8)),
                    "device": own,
                    "epoch": epoch,
                }
                for epoch in (1, 2)
            ),
        ],
        "documents": [{"document": document, "text": document_text(document)}],
        "events": [
            {"device": device, "event": event_id(hlc, device), "hlc": hlc}
            for device, hlc in ((own, reading(NOW_MS)), (browser, reading(NOW_MS, 255)))
        ],
        "logs": [
            {
                "epoch": epoch,
                "log": log_id(owner, purpose, epoch),
                "owner": owner,
                "purpose": purpose,
            }
            for owner, purpose, epoch in logs
        ],
    }


def clocks() -> dict[str, Any]:
    """Return what follows a clock reading, and what one that is seen does."""
    return {
        "clock_next": [
            {"last": last, "next": tick(last, now_ms), "now_ms": now_ms}
            for last, now_ms in (
                (0, NOW_MS),
                (reading(NOW_MS), NOW_MS),
                (reading(NOW_MS, 0xFFFF), NOW_MS),
                (reading(NOW_MS + 5), NOW_MS),
                (reading(NOW_MS - 5, 9), NOW_MS),
            )
        ],
        "clock_seen": [
            {"last": last, "now_ms": NOW_MS, "seen": seen, "then": observe(last, seen, NOW_MS)}
            for last, seen in (
                (reading(NOW_MS), reading(NOW_MS + 7, 3)),
                (reading(NOW_MS), reading(NOW_MS - 7)),
                (reading(NOW_MS), reading(NOW_MS + DAY_MS)),
                (reading(NOW_MS), reading(NOW_MS + DAY_MS + 1)),
            )
        ],
    }
