"""A log may be looked through in the transaction in which it grows."""

from schemas.record import LeafType
from sync.log import SUBTREE_LEVEL
from sync.scrub import adds_up, block_count, read_block
from tests.sync.builders import Node


def test_a_log_that_is_looked_at_while_it_grows_is_stored(commune: Node) -> None:
    with commune.transaction():
        for number in range(1 << SUBTREE_LEVEL):
            commune.replica.append_statement(LeafType.REVOCATION, bytes([number]), 0)
        log = commune.log(commune.place)
        for position in range(block_count(log)):
            assert adds_up(commune.store, log, position, read_block(commune.store, log, position))
    log = commune.log(commune.place)
    with commune.transaction():
        assert commune.store.root_at(log, log.size) == log.frontier.root()
