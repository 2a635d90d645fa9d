"""The vectors in tests/vectors/ are what the product makes now, and it reads them as they state.

Method: `scripts/vectors` is run in memory and compared with the tree; recorded sessions are played
to each side. What another program makes of them is in tests/independent/test_vectors.py.
"""

import json

import pytest

from tests.vectoring.files import FILES, made
from tests.vectoring.layout import FOLDER, lay_out, plain
from tests.vectoring.sessions import SIDES, is_same_contact, rounds_of, tell

FILE_BYTES_MAX = 128 << 10
# Made by programs of others.
FOREIGN = {"rfc6962.json", "negentropy.json"}
AGAIN = "run scripts/vectors, and see in the difference whether the change was meant"


@pytest.mark.parametrize("name", FILES)
def test_the_vectors_in_the_tree_are_those_that_the_product_makes(name: str) -> None:
    assert made(name) == (FOLDER / name).read_text(), AGAIN


def test_every_file_of_vectors_is_small_made_by_the_script_and_explained() -> None:
    paths = [path for path in FOLDER.glob("*.json") if path.name not in FOREIGN]
    assert {path.name for path in paths} == set(FILES)
    explained = (FOLDER / "README.md").read_text()
    assert all(path.stat().st_size <= FILE_BYTES_MAX for path in paths)
    for name in [*FILES, *FOREIGN]:
        assert f"`{name}`" in explained


def test_recorded_sessions_bring_both_sides_where_they_say() -> None:
    recorded = json.loads((FOLDER / "sessions.json").read_text())["contacts"]
    said = [rounds_of(contact) for contact in recorded]
    told = tell(said)
    for stated, contact, rounds in zip(recorded, told, said, strict=True):
        mine = json.loads(lay_out({**contact, "rounds": []}))
        assert mine == {**stated, "rounds": []}
        whole = {"rounds": contact["rounds"]}
        assert is_same_contact({"rounds": rounds}, whole)


def test_a_recorded_session_that_was_altered_is_noticed() -> None:
    recorded = json.loads((FOLDER / "sessions.json").read_text())["contacts"]
    said = [rounds_of(contact) for contact in recorded]
    first = said[0][0]["child"]
    # The last byte of the head's signature.
    first[-1] = first[-1][:-1] + bytes([first[-1][-1] ^ 1])
    told = tell(said[:1] + [None] * (len(said) - 1))
    assert plain(told[0]["after"]) != recorded[0]["after"]
    assert told[0]["ended"] == {"by": SIDES[1], "reason": "head_forged"}
