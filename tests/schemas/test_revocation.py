"""Goal: a statement has one encoding, and whatever else comes is refused in words.

Method: drawn statements go through bytes; then the bytes of true ones are changed.
"""

from dataclasses import replace

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RecordError
from schemas.limits import (
    REVOCATION_BYTES_MAX,
    REVOCATION_CHARS_MAX,
    REVOCATION_LOGS_MAX,
    VOIDED_MAX,
)
from schemas.revocation import (
    Mark,
    Revocation,
    RevocationLeaf,
    Statement,
    decode_revocation_leaf,
    decode_statement,
)

names, hashes = st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32)
numbers = st.integers(0, (1 << 53) - 1)
marks = st.lists(
    st.builds(Mark, log_id=names, last_valid_seq=numbers, root=hashes),
    max_size=4,
    unique_by=lambda mark: mark.log_id,
).map(lambda found: tuple(sorted(found, key=lambda mark: mark.log_id)))
revocations = st.builds(
    Revocation,
    key=hashes,
    code=st.text(max_size=8),
    marks=marks,
    reason=st.text(max_size=REVOCATION_CHARS_MAX),
    at_ms=numbers,
)


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    revocation = draw(revocations)
    return Statement(
        said=revocation.encode(),
        chain=draw(st.lists(st.binary(max_size=99), min_size=1, max_size=4).map(tuple)),
        signature=draw(st.binary(min_size=64, max_size=64)),
        revocation=revocation,
    )


leaves = st.builds(
    RevocationLeaf,
    statement=st.binary(max_size=99),
    voided=st.lists(st.tuples(names, hashes), max_size=4).map(tuple),
)
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.binary(max_size=70) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=12,
)
MARK = Mark(log_id=b"l" * 16, last_valid_seq=7, root=b"r" * 32)
SAID = Revocation(key=b"k" * 32, code="40.17083", marks=(MARK,), reason="mất trộm", at_ms=1)
TRUE = Statement(said=SAID.encode(), chain=(b"der",), signature=bytes(64), revocation=SAID)


@given(statements())
def test_a_statement_comes_back_as_it_was(statement: Statement) -> None:
    assert decode_statement(statement.encode()) == statement


@given(leaves)
def test_a_leaf_comes_back_as_it_was(leaf: RevocationLeaf) -> None:
    assert decode_revocation_leaf(leaf.encode()) == leaf


@given(statements(), st.data())
def test_changed_bytes_are_refused_or_another_statement(
    statement: Statement, data: st.DataObject
) -> None:
    whole = bytearray(statement.encode())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    try:
        found = decode_statement(bytes(whole))
    except RecordError:
        return
    assert found != statement
    assert found.encode() == whole


@given(st.binary(max_size=200) | trees.map(lambda tree: cbor2.dumps(tree, canonical=True)))
def test_anything_else_is_refused_in_words(data: bytes) -> None:
    for decode in (decode_statement, decode_revocation_leaf):
        try:
            found = decode(data)
        except RecordError:
            continue
        assert found.encode() == data


@pytest.mark.parametrize(
    "bad",
    [
        replace(SAID, key=b"k"),
        replace(SAID, code="40.17083.100"),
        replace(SAID, reason="x" * (REVOCATION_CHARS_MAX + 1)),
        replace(SAID, at_ms=-1),
        replace(SAID, at_ms=1 << 54),
        replace(SAID, marks=(MARK, MARK)),
        replace(SAID, marks=(replace(MARK, log_id=b"m" * 16), MARK)),
        replace(SAID, marks=(replace(MARK, last_valid_seq=-1),)),
        replace(SAID, marks=(replace(MARK, last_valid_seq=1 << 53),)),
        replace(SAID, marks=(replace(MARK, root=b""),)),
        replace(
            SAID,
            marks=tuple(
                replace(MARK, log_id=number.to_bytes(16, "big"))
                for number in range(REVOCATION_LOGS_MAX + 1)
            ),
        ),
    ],
    ids=range(11),
)
def test_what_a_revocation_may_not_say_is_refused(bad: Revocation) -> None:
    with pytest.raises(RecordError) as refused:
        decode_statement(replace(TRUE, said=bad.encode()).encode())
    assert refused.value.code == "revocation_malformed"


def test_the_largest_statement_and_the_largest_leaf_fit_their_limits() -> None:
    many = tuple(
        Mark(log_id=number.to_bytes(16, "big"), last_valid_seq=(1 << 53) - 1, root=b"r" * 32)
        for number in range(REVOCATION_LOGS_MAX)
    )
    said = replace(SAID, marks=many, reason="đ" * REVOCATION_CHARS_MAX)
    whole = replace(TRUE, said=said.encode(), chain=(bytes(2_000),) * 2, revocation=said)
    assert len(whole.encode()) <= REVOCATION_BYTES_MAX
    assert decode_statement(whole.encode()) == whole
    leaf = RevocationLeaf(
        statement=bytes(REVOCATION_BYTES_MAX), voided=((bytes(16), bytes(32)),) * VOIDED_MAX
    )
    assert len(leaf.encode()) < 1 << 20
    with pytest.raises(RecordError):
        decode_statement(whole.encode().ljust(REVOCATION_BYTES_MAX + 1, b"\0"))
