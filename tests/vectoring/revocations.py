"""Section 12: statements that hold, with what they say, and statements that do not."""

from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from schemas.revocation import Revocation, RevocationLeaf, Statement
from sync.revocations import by_node, verified
from tests.sync.builders import (
    CENTRE,
    COMMUNE,
    NEIGHBOUR,
    PROVINCE,
    Place,
    logs,
    new_node,
    place,
    root,
)
from tests.sync.revoked import mark_of, said_of, spare_of, statement_by
from tests.vectoring.layout import Earlier
from tests.vectoring.leaves import NOWHERE


def revocations(_: Earlier) -> Any:
    """Return statements, which of them are in effect together, and the leaf that holds one."""
    log = logs(COMMUNE)[COMMUNE]
    marked = said_of(place(COMMUNE), mark_of(log, 2))
    good = {
        "by the province": statement_by(place(PROVINCE), marked),
        "by the centre": statement_by(place(CENTRE), said_of(place(COMMUNE), mark_of(log, 1))),
        "nothing counts": statement_by(place(PROVINCE), said_of(place(NEIGHBOUR))),
        "of the province": statement_by(place(CENTRE), said_of(place(PROVINCE))),
        "by the spare key": statement_by(spare_of(place(COMMUNE), b"spare"), marked),
    }
    return {
        "good": [_good(name, statement) for name, statement in good.items()],
        "in_effect_together": sorted(_in_effect(list(good.values()))),
        "leaf_body": RevocationLeaf(
            statement=good["by the centre"].encode(), voided=((bytes(range(16)), bytes(32)),)
        ).encode(),
        "refused": [
            {"statement": statement.encode(), "why": why} for why, statement in _bad(marked)
        ],
        "root": root().public_bytes(Encoding.DER),
    }


def _good(name: str, statement: Statement) -> dict[str, Any]:
    return {"name": name, "says": statement.revocation, "statement": statement.encode()}


def _bad(said: Revocation) -> list[tuple[str, Statement]]:
    true = statement_by(place(PROVINCE), said)
    (mark,) = said.marks
    return [
        ("signed by a neighbour", statement_by(place(NEIGHBOUR), said)),
        ("signed by itself", statement_by(place(COMMUNE), said)),
        ("signed by the spare key of another", statement_by(_other_spare(), said)),
        ("signed by a spare key of the same code", statement_by(_next_spare(), said)),
        ("of another province", statement_by(place("44"), said)),
        ("of the centre", statement_by(place(PROVINCE), said_of(place(CENTRE)))),
        ("other content", replace(true, said=replace(said, at_ms=0).encode())),
        ("other signature", replace(true, signature=true.signature[::-1])),
        ("other chain", replace(true, chain=tuple(place(CENTRE).der))),
        ("a log twice", statement_by(place(PROVINCE), replace(said, marks=(mark, mark)))),
    ]


def _other_spare() -> Place:
    return spare_of(place(NEIGHBOUR), b"spare")


def _next_spare() -> Place:
    return spare_of(spare_of(place(COMMUNE), b"spare"), b"next")


def _in_effect(statements: list[Statement]) -> list[str]:
    verify = new_node(CENTRE, NOWHERE).replica.verify_chain
    known = [verified(statement.encode(), verify) for statement in statements]
    return [one.id.hex() for some in by_node(known).values() for one in some]
