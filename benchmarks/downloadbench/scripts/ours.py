"""What the agent does for one model, with the agent's own classes: list, download, verify, fsync, publish.

python -m downloadbench.scripts.ours URI ROOT
"""

from __future__ import annotations

import asyncio
import os
import sys

from cacheagent.adapters.object_stores import DriverStores
from cacheagent.adapters.part_mover import RangeMover
from cacheagent.adapters.posix_disk import PosixDisk
from cacheagent.connections import Connections
from cacheagent.listing import select
from cacheagent.options import AgentOptions
from cacheagent.transfer import Request, Transfer
from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.names import storage_key
from cachecore.ports import Credentials
from downloadbench.stopwatch import Stopwatch


async def fetch(uri: str, root: str) -> str:
    """The digest of what was published."""
    options = AgentOptions(node_name="bench")
    runtime = AsyncioRuntime()
    disk = PosixDisk(root)
    stores = DriverStores(os.environ)
    mover = RangeMover(disk, connections=options.connections_max)
    connections = Connections(runtime, initial=options.connections_initial, maximum=options.connections_max)
    try:
        store = await stores.open(uri, Credentials())
        listing = select(uri, await store.list(uri), now=runtime.monotonic())
        request = Request(key=storage_key(uri), uri=uri)
        transfer = Transfer(runtime, disk, mover, store, request, connections=connections)
        return (await transfer.run(listing)).digest
    finally:
        await stores.close()
        mover.close()
        disk.close()


def main(uri: str, root: str) -> None:
    # An agent that reads S3 has imported its driver long ago.
    import s3fs  # noqa: F401

    watch = Stopwatch()
    asyncio.run(fetch(uri, root))
    watch.report()


if __name__ == "__main__":
    main(*sys.argv[1:3])
