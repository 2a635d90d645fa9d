"""Many communes in one process: `python -m scripts.benchmarks.sync.communes FOLDER...`.

Obeys `{"deliver": null}`: all dial at once; answered by the seconds that each waited until the
province had countersigned what it held.
"""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from node.app import Node
from node.clock import Clock
from node.entropy import system_rng
from node.listening import raise_descriptor_limit
from node.memory import keep_what_is_loaded, share_heaps
from node.station import open_station
from scripts.benchmarks.peers.commune import countersigned, obey


async def main(folders: list[Path]) -> None:
    """Run the communes until standard input ends."""
    raise_descriptor_limit()
    share_heaps()
    rng, clock = system_rng(), Clock()
    async with AsyncExitStack() as stack:
        nodes = []
        for folder in folders:
            node = Node(open_station(folder, rng), clock, rng)
            stack.push_async_callback(node.close)
            await node.set_link_cut(True)
            nodes.append(node)
        keep_what_is_loaded()
        async with asyncio.TaskGroup() as group:
            links = [group.create_task(n.uplink.run(), name="uplink") for n in nodes if n.uplink]
            await obey({"deliver": lambda _: _deliver(nodes)})
            for link in links:
                link.cancel()


async def _deliver(nodes: list[Node]) -> Any:
    begun_s = time.monotonic()

    async def wait(node: Node) -> float:
        await node.set_link_cut(False)
        await countersigned(node)
        return time.monotonic() - begun_s

    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(wait(node), name="commune") for node in nodes]
    return [task.result() for task in waits]


if __name__ == "__main__":
    asyncio.run(main([Path(name) for name in sys.argv[1:]]))
