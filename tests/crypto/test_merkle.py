"""Trees, frontiers and proofs are those of RFC 6962, and no altered proof is accepted.

Method: published vectors, a naive recursion written straight from the definition as oracle, and
random trees with every kind of damage.
"""

import base64
import hashlib
import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import ProofError
from crypto.merkle import (
    EMPTY_ROOT,
    Frontier,
    SubtreeHash,
    consistency_proof,
    frontier_at,
    inclusion_proof,
    leaf_hash,
    parent_hash,
    root_at,
    verify_consistency,
    verify_inclusion,
)

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "rfc6962.json").read_text()
)
LEAVES = [leaf_hash(bytes.fromhex(entry)) for entry in VECTORS["leaves"]]


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    return parent_hash(naive_root(leaves[:split]), naive_root(leaves[split:]))


def numbered_leaves(count: int) -> list[bytes]:
    return [leaf_hash(number.to_bytes(2, "big")) for number in range(count)]


def subtrees_of(leaves: list[bytes], start: int = 0) -> SubtreeHash:
    @cache
    def subtree_hash(level: int, index: int) -> bytes:
        if level == 0:
            return leaves[start + index]
        return parent_hash(
            subtree_hash(level - 1, 2 * index), subtree_hash(level - 1, 2 * index + 1)
        )

    return subtree_hash


def damaged(proof: list[bytes], rng: random.Random) -> list[list[bytes]]:
    """Return the proof cut, lengthened, reordered, and with single bits flipped."""
    results = [proof[:-1], proof[1:], [*proof, bytes(32)], [bytes(32), *proof]]
    results += [[*proof, proof[-1]], proof[::-1]] if proof else []
    for position in range(len(proof)):
        flipped = bytearray(proof[position])
        flipped[rng.randrange(32)] ^= 1 << rng.randrange(8)
        results.append([*proof[:position], bytes(flipped), *proof[position + 1 :]])
        results.append([*proof[:position], proof[position][:-1], *proof[position + 1 :]])
    return [result for result in results if result != proof]


def decode(row: dict[str, Any], *keys: str) -> list[bytes]:
    return [base64.b64decode(row[key]) for key in keys]


# Published vectors


@pytest.mark.parametrize("size", range(9))
def test_the_published_roots_are_reached(size: int) -> None:
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(leaf)
    assert frontier.root().hex() == VECTORS["roots"][size]
    assert root_at(size, subtrees_of(LEAVES)).hex() == VECTORS["roots"][size]


def test_the_published_subtrees_are_completed() -> None:
    frontier = Frontier()
    completed = [found for leaf in LEAVES for found in frontier.append(leaf)]
    expected = {
        (level, index): digest
        for level, row in enumerate(VECTORS["subtrees"])
        for index, digest in enumerate(row)
        if level
    }
    assert {(level, index): digest.hex() for level, index, digest in completed} == expected
    assert [leaf.hex() for leaf in LEAVES] == VECTORS["subtrees"][0]


@pytest.mark.parametrize("row", VECTORS["inclusion"], ids=lambda row: row["case"])
def test_published_inclusion_proofs_are_judged_as_published(row: dict[str, Any]) -> None:
    entry, root = decode(row, "entry_hash", "root")
    proof = [base64.b64decode(digest) for digest in row["proof"]]

    def verify() -> None:
        verify_inclusion(
            entry_hash=entry, index=row["index"], size=row["size"], proof=proof, root=root
        )

    judge(verify, is_valid=row["valid"])


@pytest.mark.parametrize("row", VECTORS["consistency"], ids=lambda row: row["case"])
def test_published_consistency_proofs_are_judged_as_published(row: dict[str, Any]) -> None:
    old_root, new_root = decode(row, "old_root", "new_root")
    proof = [base64.b64decode(digest) for digest in row["proof"]]

    def verify() -> None:
        verify_consistency(
            old_size=row["old_size"],
            old_root=old_root,
            new_size=row["new_size"],
            new_root=new_root,
            proof=proof,
        )

    judge(verify, is_valid=row["valid"])


def judge(verify: Callable[[], None], *, is_valid: bool) -> None:
    if is_valid:
        verify()
    else:
        with pytest.raises(ProofError):
            verify()


def test_the_published_digest_over_all_small_trees_and_proofs_is_reached() -> None:
    """Every range that RFC 6962 allows below 130 leaves, folded into one hash each."""
    published = VECTORS["accumulated"]
    leaves = [leaf_hash(bytes([number])) for number in range(published["size_max"])]
    roots, proofs = hashlib.sha256(), hashlib.sha256()
    for end in range(published["size_max"] + 1):
        for start in range(end + 1):
            size = end - start
            if start and size and start % (1 << (size - 1).bit_length()):
                continue
            subtree_hash = subtrees_of(leaves, start)
            root = root_at(size, subtree_hash)
            roots.update(f"[{start}, {end}) {root.hex()}\n".encode())
            for index in range(size):
                path = inclusion_proof(index, size, subtree_hash)
                line = "".join(f" {digest.hex()}" for digest in path)
                proofs.update(f"{start + index} [{start}, {end}){line}\n".encode())
    assert roots.hexdigest() == published["subtree_hashes"]
    assert proofs.hexdigest() == published["inclusion_proofs"]


# Every small tree


@pytest.mark.parametrize("size", range(1, 34))
def test_every_inclusion_proof_of_a_small_tree_verifies(size: int) -> None:
    leaves = numbered_leaves(size)
    root = naive_root(leaves)
    for index in range(size):
        proof = inclusion_proof(index, size, subtrees_of(leaves))
        verify_inclusion(entry_hash=leaves[index], index=index, size=size, proof=proof, root=root)


@pytest.mark.parametrize("new_size", range(1, 34))
def test_every_consistency_proof_of_a_small_tree_verifies(new_size: int) -> None:
    leaves = numbered_leaves(new_size)
    for old_size in range(1, new_size + 1):
        verify_consistency(
            old_size=old_size,
            old_root=naive_root(leaves[:old_size]),
            new_size=new_size,
            new_root=naive_root(leaves),
            proof=consistency_proof(old_size, new_size, subtrees_of(leaves)),
        )


# Random trees


@given(size=st.integers(1, 700), seed=st.integers(0, 2**32))
def test_an_altered_inclusion_proof_is_refused(size: int, seed: int) -> None:
    rng = random.Random(seed)
    leaves = numbered_leaves(size)
    subtree_hash = subtrees_of(leaves)
    root, index = root_at(size, subtree_hash), rng.randrange(size)
    proof = inclusion_proof(index, size, subtree_hash)
    claim: dict[str, Any] = {
        "entry_hash": leaves[index],
        "index": index,
        "size": size,
        "root": root,
    }
    verify_inclusion(**claim, proof=proof)
    for wrong in damaged(proof, rng):
        with pytest.raises(ProofError):
            verify_inclusion(**claim, proof=wrong)
    for change in (
        {"entry_hash": leaf_hash(b"another")},
        {"index": index + 1},
        {"index": -1},
        {"index": size},
        {"root": EMPTY_ROOT},
        {"root": b""},
    ):
        with pytest.raises(ProofError):
            verify_inclusion(**(claim | change), proof=proof)


@given(sizes=st.tuples(st.integers(1, 700), st.integers(1, 700)), seed=st.integers(0, 2**32))
def test_an_altered_consistency_proof_is_refused(sizes: tuple[int, int], seed: int) -> None:
    rng = random.Random(seed)
    old_size, new_size = sorted(sizes)
    subtree_hash = subtrees_of(numbered_leaves(new_size))
    proof = consistency_proof(old_size, new_size, subtree_hash)
    claim: dict[str, Any] = {
        "old_size": old_size,
        "old_root": root_at(old_size, subtree_hash),
        "new_size": new_size,
        "new_root": root_at(new_size, subtree_hash),
    }
    verify_consistency(**claim, proof=proof)
    for wrong in damaged(proof, rng):
        with pytest.raises(ProofError):
            verify_consistency(**claim, proof=wrong)
    changes = ({"old_root": bytes(32)}, {"new_root": bytes(32)}, {"old_size": new_size + 1})
    for change in changes:
        with pytest.raises(ProofError):
            verify_consistency(**(claim | change), proof=proof)


@given(size=st.integers(2, 300), seed=st.integers(0, 2**32))
def test_a_log_that_rewrote_one_leaf_is_not_consistent(size: int, seed: int) -> None:
    rng = random.Random(seed)
    old_size = rng.randrange(1, size)
    leaves = numbered_leaves(size)
    old_root = naive_root(leaves[:old_size])
    leaves[rng.randrange(old_size)] = leaf_hash(b"rewritten")
    with pytest.raises(ProofError):
        verify_consistency(
            old_size=old_size,
            old_root=old_root,
            new_size=size,
            new_root=naive_root(leaves),
            proof=consistency_proof(old_size, size, subtrees_of(leaves)),
        )


@given(
    index=st.integers(-3, 2**70),
    size=st.integers(-3, 2**70),
    proof=st.lists(st.binary(min_size=31, max_size=33), max_size=80),
    root=st.binary(max_size=33),
)
def test_arbitrary_proofs_raise_only_our_error(
    index: int, size: int, proof: list[bytes], root: bytes
) -> None:
    with pytest.raises(ProofError):
        verify_inclusion(entry_hash=bytes(32), index=index, size=size, proof=proof, root=root)
    with pytest.raises(ProofError):
        verify_consistency(
            old_size=index, old_root=root, new_size=size, new_root=bytes(33), proof=proof
        )


def test_a_proof_longer_than_the_tree_is_high_is_refused_though_its_hashes_fit() -> None:
    extra, leaf = leaf_hash(b"extra"), LEAVES[0]
    with pytest.raises(ProofError) as caught:
        verify_inclusion(
            entry_hash=leaf, index=0, size=1, proof=[extra], root=parent_hash(extra, leaf)
        )
    assert caught.value.code == "proof_wrong_length"
    root = parent_hash(leaf, LEAVES[1])
    with pytest.raises(ProofError) as caught:
        verify_consistency(
            old_size=1,
            old_root=parent_hash(extra, leaf),
            new_size=2,
            new_root=parent_hash(extra, root),
            proof=[LEAVES[1], extra],
        )
    assert caught.value.code == "proof_wrong_length"


def test_two_equal_heads_are_consistent_without_a_proof() -> None:
    root = naive_root(LEAVES)
    verify_consistency(old_size=8, old_root=root, new_size=8, new_root=root, proof=[])
    verify_consistency(old_size=0, old_root=EMPTY_ROOT, new_size=0, new_root=EMPTY_ROOT, proof=[])


def test_proofs_that_cannot_exist_are_not_made() -> None:
    subtree_hash = subtrees_of(LEAVES)
    for index, size in ((0, 0), (-1, 8), (8, 8)):
        with pytest.raises(ValueError, match="leaf"):
            inclusion_proof(index, size, subtree_hash)
    for old_size, new_size in ((0, 8), (3, 2)):
        with pytest.raises(ValueError, match="consistency"):
            consistency_proof(old_size, new_size, subtree_hash)
    with pytest.raises(ValueError, match="leaves"):
        root_at(-1, subtree_hash)


# Frontier


@given(size=st.integers(0, 600))
def test_a_frontier_equals_the_naive_recursion(size: int) -> None:
    leaves = numbered_leaves(size)
    frontier = Frontier()
    kept: dict[tuple[int, int], bytes] = {}
    for leaf in leaves:
        for level, index, digest in frontier.append(leaf):
            kept[level, index] = digest
    assert frontier.root() == naive_root(leaves)
    again = frontier_at(size, subtrees_of(leaves))
    assert (again.size, again.hashes) == (size, frontier.hashes)
    assert set(kept) == {
        (level, index) for level in range(1, size.bit_length()) for index in range(size >> level)
    }
    for (level, index), digest in kept.items():
        assert digest == subtrees_of(leaves)(level, index)


@given(size=st.integers(0, 200), more=st.integers(0, 20))
def test_a_decoded_frontier_goes_on_like_the_original(size: int, more: int) -> None:
    leaves = numbered_leaves(size + more)
    frontier = frontier_at(size, subtrees_of(leaves))
    decoded, copy = Frontier.decode(size, frontier.encode()), frontier.copy()
    for leaf in leaves[size:]:
        assert decoded.append(leaf) == copy.append(leaf)
    assert decoded.root() == copy.root() == naive_root(leaves)
    assert frontier.root() == naive_root(leaves[:size])


@given(size=st.integers(-5, 2**65), data=st.binary(max_size=200))
def test_a_frontier_of_the_wrong_length_is_refused(size: int, data: bytes) -> None:
    if size >= 0 and len(data) == 32 * size.bit_count():
        assert Frontier.decode(size, data).encode() == data
    else:
        with pytest.raises(ProofError):
            Frontier.decode(size, data)


def test_a_frontier_of_wrong_hashes_is_refused() -> None:
    for size, hashes in ((1, ()), (0, (bytes(32),)), (1, (bytes(31),)), (-1, (bytes(32),))):
        with pytest.raises(ProofError):
            Frontier(size, hashes)
