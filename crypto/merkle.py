"""Merkle trees over a log: roots, inclusion proofs, consistency proofs.

The hashing and the shape of the proofs are those of RFC 6962 section 2.1 and RFC 9162 section 2.1
with SHA-256. A *subtree* is perfect: level L, index I covers the leaves I * 2^L to (I + 1) * 2^L.
Whoever makes a proof supplies a function that returns subtree hashes; this module stores nothing
but the frontier of a growing log.
"""

import hashlib
from collections.abc import Callable, Sequence

from crypto.errors import ProofError

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()

SubtreeHash = Callable[[int, int], bytes]
"""Returns the root of the perfect subtree at (level, index)."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one log entry (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def parent_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash over two subtrees (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The perfect subtrees that make up a log of `size` leaves, widest first.

    That is all one needs to append leaves and to know the root: one hash for each bit set in size.
    """

    __slots__ = ("_hashes", "_size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """Stand where a log of that size stands.

        Raises:
            ProofError: the number of hashes or the length of one does not fit the size.
        """
        if size < 0 or len(hashes) != size.bit_count():
            raise ProofError(
                "frontier_malformed", f"a frontier of {len(hashes)} hashes for {size} leaves"
            )
        if any(len(digest) != HASH_BYTES for digest in hashes):
            raise ProofError("frontier_malformed", "a hash in a frontier does not have 32 bytes")
        self._size = size
        self._hashes = list(hashes)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """Roots of the subtrees, widest first."""
        return tuple(self._hashes)

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Add one leaf hash.

        Returns:
            (level, index, hash) of every subtree of level 1 and above that this leaf completed,
            lowest first.
        """
        completed = []
        digest, index, level = leaf, self._size, 0
        while index & 1:
            digest = parent_hash(self._hashes.pop(), digest)
            index >>= 1
            level += 1
            completed.append((level, index, digest))
        self._hashes.append(digest)
        self._size += 1
        return completed

    def root(self) -> bytes:
        """Return the root hash over all leaves."""
        if not self._hashes:
            return EMPTY_ROOT
        digest = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            digest = parent_hash(left, digest)
        return digest

    def encode(self) -> bytes:
        """Return the hashes one after the other; the size is kept beside them."""
        return b"".join(self._hashes)

    @classmethod
    def decode(cls, size: int, data: bytes) -> "Frontier":
        """Return the frontier that encode() wrote for a log of that size.

        Raises:
            ProofError: the length of data does not fit the size.
        """
        if size < 0 or len(data) != HASH_BYTES * size.bit_count():
            raise ProofError(
                "frontier_malformed", f"a frontier of {len(data)} bytes for {size} leaves"
            )
        return cls(size, [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)])

    def copy(self) -> "Frontier":
        """Return a frontier that can go its own way."""
        return Frontier(self._size, self._hashes)


def frontier_at(size: int, subtree_hash: SubtreeHash) -> Frontier:
    """Return the frontier of the first `size` leaves.

    Raises:
        ValueError: size is negative.
    """
    if size < 0:
        raise ValueError(f"a tree of {size} leaves")
    hashes = []
    start = 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            hashes.append(subtree_hash(level, start >> level))
            start += 1 << level
    return Frontier(size, hashes)


def root_at(size: int, subtree_hash: SubtreeHash) -> bytes:
    """Return the root over the first `size` leaves.

    Raises:
        ValueError: size is negative.
    """
    return frontier_at(size, subtree_hash).root()


def inclusion_proof(index: int, size: int, subtree_hash: SubtreeHash) -> list[bytes]:
    """Return the hashes from the sibling of leaf `index` up to the child of the root.

    Source: PATH of RFC 6962 section 2.1.1.

    Raises:
        ValueError: the tree of that size has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} of a tree of {size} leaves")
    path = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range_hash(middle, end, subtree_hash))
            end = middle
        else:
            path.append(_range_hash(start, middle, subtree_hash))
            start = middle
    return path[::-1]


def consistency_proof(old_size: int, new_size: int, subtree_hash: SubtreeHash) -> list[bytes]:
    """Return the hashes that show the first `old_size` leaves to be a prefix of `new_size`.

    Source: PROOF of RFC 6962 section 2.1.2.

    Raises:
        ValueError: the sizes are not 1 <= old_size <= new_size.
    """
    if not 1 <= old_size <= new_size:
        raise ValueError(f"consistency of {old_size} leaves with {new_size}")
    path = []
    start, end = 0, new_size
    while end != old_size:
        middle = start + _split(end - start)
        if old_size <= middle:
            path.append(_range_hash(middle, end, subtree_hash))
            end = middle
        else:
            path.append(_range_hash(start, middle, subtree_hash))
            start = middle
    if start > 0:
        # The verifier knows the old root, which is this subtree only while we never went right.
        path.append(_range_hash(start, end, subtree_hash))
    return path[::-1]


def root_from_inclusion_proof(
    *, entry_hash: bytes, index: int, size: int, proof: Sequence[bytes]
) -> bytes:
    """Return the root that the proof leads to.

    Source: RFC 9162 section 2.1.3.2.

    Raises:
        ProofError: the proof has the wrong length or shape for that leaf.
    """
    if not 0 <= index < size:
        raise ProofError("proof_out_of_range", f"leaf {index} of a tree of {size} leaves")
    _check_hashes((entry_hash, *proof))
    digest, position, last = entry_hash, index, size - 1
    for sibling in proof:
        if last == 0:
            raise ProofError("proof_wrong_length", "the inclusion proof is too long")
        if position & 1 or position == last:
            digest = parent_hash(sibling, digest)
            # On the ragged right edge there are levels without a sibling.
            while position and not position & 1:
                position >>= 1
                last >>= 1
        else:
            digest = parent_hash(digest, sibling)
        position >>= 1
        last >>= 1
    if last != 0:
        raise ProofError("proof_wrong_length", "the inclusion proof is too short")
    return digest


def verify_inclusion(
    *, entry_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that the entry is leaf `index` of the tree of `size` leaves with that root.

    Raises:
        ProofError: it is not, as far as this proof shows.
    """
    found = root_from_inclusion_proof(entry_hash=entry_hash, index=index, size=size, proof=proof)
    if found != root:
        raise ProofError("proof_wrong_root", "the inclusion proof leads to another root")


def verify_consistency(
    *, old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the old tree is a prefix of the new one.

    A proof from the empty tree to a larger one is refused: it would say nothing.

    Source: RFC 9162 section 2.1.4.2.

    Raises:
        ProofError: it is not, as far as this proof shows.
    """
    if not 0 <= old_size <= new_size:
        raise ProofError("proof_out_of_range", f"{old_size} leaves do not precede {new_size}")
    if old_size == new_size:
        _check_same_tree(old_size, old_root, new_root, proof)
        return
    if old_size == 0:
        raise ProofError("proof_out_of_range", "the empty tree has no consistency proof")
    _check_hashes((old_root, new_root, *proof))
    steps = list(proof)
    if old_size & (old_size - 1) == 0:
        # A tree whose size is a power of two is itself the first subtree of the proof.
        steps.insert(0, old_root)
    if not steps:
        raise ProofError("proof_wrong_length", "the consistency proof is empty")
    found_old, found_new = _fold_consistency(old_size, new_size, steps)
    if found_old != old_root:
        raise ProofError("proof_wrong_root", "the consistency proof leads to another old root")
    if found_new != new_root:
        raise ProofError("proof_wrong_root", "the consistency proof leads to another new root")


def _fold_consistency(old_size: int, new_size: int, steps: Sequence[bytes]) -> tuple[bytes, bytes]:
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old = new = steps[0]
    for sibling in steps[1:]:
        if last == 0:
            raise ProofError("proof_wrong_length", "the consistency proof is too long")
        if position & 1 or position == last:
            old = parent_hash(sibling, old)
            new = parent_hash(sibling, new)
            while position and not position & 1:
                position >>= 1
                last >>= 1
        else:
            new = parent_hash(new, sibling)
        position >>= 1
        last >>= 1
    if last != 0:
        raise ProofError("proof_wrong_length", "the consistency proof is too short")
    return old, new


def _check_same_tree(size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    if proof:
        raise ProofError("proof_wrong_length", "two heads of one size need no hashes")
    if old_root != new_root or (size == 0 and old_root != EMPTY_ROOT):
        raise ProofError("proof_wrong_root", f"two different roots over {size} leaves")


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(digest) != HASH_BYTES for digest in hashes):
        raise ProofError("proof_malformed", "a hash in a proof does not have 32 bytes")


def _split(count: int) -> int:
    """Return the largest power of two below count (k in RFC 6962 section 2.1)."""
    return 1 << (count - 1).bit_length() - 1


def _range_hash(start: int, end: int, subtree_hash: SubtreeHash) -> bytes:
    """Return the root over leaves start to end, a range that RFC 6962's recursion can meet."""
    count = end - start
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return subtree_hash(level, start >> level)
    middle = start + _split(count)
    return parent_hash(
        _range_hash(start, middle, subtree_hash), _range_hash(middle, end, subtree_hash)
    )
