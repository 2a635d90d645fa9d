"""Goal: what counts depends on what was said and written, not on the order in which it came.

Method: logs of two communes with changes that build on each other, and statements about one of
them, arrive at a province in any order; the tables are the same every time.
"""

import random
from pathlib import Path
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Noted
from schemas.ids import DocumentId, event_id
from schemas.revocation import Statement
from sync.document import Edit
from tests.sync.builders import (
    CASE,
    CENTRE,
    COMMUNE,
    DERIVED,
    NEIGHBOUR,
    NOW,
    PROVINCE,
    LogBuilder,
    Node,
    Pen,
    actor_of,
    logs,
    new_node,
    place,
    tables,
    writer_of,
)
from tests.sync.revoked import hear, mark_of, said_of, spare_of, statement_by, take_in

_DOCUMENTS: Final = (DocumentId(bytes(range(16))), DocumentId(bytes(range(1, 17))))
_NAMES: Final = ("revocation", *DERIVED, "quarantined_change", "void_change")


def story(rng: random.Random) -> dict[str, LogBuilder]:
    """Return the logs of two communes that write into the same documents, partly apart."""
    made = logs(COMMUNE, NEIGHBOUR)
    for document in _DOCUMENTS:
        pen = Pen(document)
        for number in range(rng.randint(2, 6)):
            code = rng.choice((COMMUNE, NEIGHBOUR))
            writer, hlc = writer_of(place(code)), NOW + number
            edit = CASE
            if pen.changes:
                base = rng.choice([None, (rng.choice(pen.changes).hash,)])
                event: dict[str, str] = {
                    event_id(hlc, writer.device): Noted(text=f"{number}").encode()
                }
                edit = Edit(fields={"title": f"{number}"}, events=event, base=base)
            change = pen.write(actor_of(writer, document), edit)
            made[code].change(change.raw, document=document, hlc=hlc)
    return made


def statements(rng: random.Random, made: dict[str, LogBuilder]) -> list[Statement]:
    """Return one to three statements about the first commune, and some about who said so."""
    found, spare = [], spare_of(place(COMMUNE), b"spare")
    for number in range(rng.randint(1, 3)):
        size = rng.randint(0, len(made[COMMUNE].leaves))
        marks = [mark_of(made[COMMUNE], size)] if size else []
        said = said_of(place(COMMUNE), *marks, reason=f"{number}")
        signer = rng.choice((place(PROVINCE), place(CENTRE), spare))
        found.append(statement_by(signer, said))
    if rng.random() < 0.3:
        found.append(statement_by(place(rng.choice((PROVINCE, CENTRE))), said_of(spare)))
    if rng.random() < 0.3:
        found.append(statement_by(place(CENTRE), said_of(place(PROVINCE))))
    return found


def arrive(
    node: Node, made: dict[str, LogBuilder], said: list[Statement], rng: random.Random
) -> None:
    """Let everything arrive in some order, each log in pieces."""
    done = dict.fromkeys(made, 0)
    left = list(said)
    while left or any(done[code] < len(made[code].leaves) for code in made):
        open_logs = [code for code in made if done[code] < len(made[code].leaves)]
        code = rng.choice([*open_logs, *["said"] * len(left)])
        if code == "said":
            hear(node, left.pop(rng.randrange(len(left))))
            continue
        end = min(len(made[code].leaves), done[code] + rng.randint(1, 4))
        take_in(node, made[code], done[code], end)
        done[code] = end


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_the_same_leaves_and_statements_end_in_the_same_state(seed: int) -> None:
    rng = random.Random(seed)
    made = story(rng)
    said = statements(rng, made)
    states = []
    for _ in range(3):
        node = new_node(CENTRE, Path("/nowhere"))
        # Rows name logs by the order in which they came.
        for code in (COMMUNE, NEIGHBOUR):
            take_in(node, made[code], 0, 0)
        arrive(node, made, said, rng)
        states.append(
            (
                tables(node, _NAMES),
                sorted(node.rows("SELECT log_id, size, valid_size FROM log WHERE source NOTNULL")),
                [node.replica.intake.registers(document) for document in _DOCUMENTS],
            )
        )
    assert states[0] == states[1] == states[2]
