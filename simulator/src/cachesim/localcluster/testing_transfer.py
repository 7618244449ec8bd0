"""Downloads of the agent through its own adapters, from an S3 that goes wrong, onto a real disk: for tests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self

from cacheagent.adapters.http_ranges import HttpRanges
from cacheagent.adapters.object_stores import DriverStores
from cacheagent.adapters.part_mover import RangeMover
from cacheagent.adapters.posix_disk import PosixDisk
from cacheagent.assembly import TransferLimits
from cacheagent.connections import Connections
from cacheagent.listing import Listing, select
from cacheagent.transfer import Request, Transfer
from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.names import storage_key
from cachecore.ports import Credentials
from cachecore.store import layout
from cachecore.store.manifest import Manifest
from cachecore.store.verify import VerifyReport, verify_copy
from cachesim.localcluster.testing_s3 import TestingS3

BUCKET = "models"
PART_BYTES = 64 * 1024
LIMITS = TransferLimits(part_bytes=PART_BYTES, attempts=3, backoff_seconds=0.001, backoff_max_seconds=0.002)
IMPATIENCE_SECONDS = 0.15


class TransferBench:
    """`with TransferBench(s3, home) as bench:` what a download needs is open inside. Parts have `PART_BYTES`.

    With one connection, which is the default, parts move one after the other: what is asked for is known exactly.
    """

    def __init__(self, s3: TestingS3, home: Path) -> None:
        self.s3 = s3
        self.home = home
        self._runner = asyncio.Runner()
        self._runtime = AsyncioRuntime()
        self._disk = PosixDisk(str(home))
        self._stores = DriverStores(s3.environment)
        self._patient = RangeMover(self._disk, connections=4)
        self._impatient = RangeMover(
            self._disk,
            connections=4,
            http=HttpRanges(read_timeout_seconds=IMPATIENCE_SECONDS, slowest_bytes_per_second=2**20),
        )

    def __enter__(self) -> Self:
        self._runner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._runner.run(self._stores.close())
        self._patient.close()
        self._impatient.close()
        self._disk.close()
        self._runner.__exit__(kind, error, traceback)

    def put(self, model: str, contents: dict[str, bytes]) -> None:
        for path, content in contents.items():
            self.s3.put(f"{BUCKET}/{model}/{path}", content)

    def list(self, model: str) -> Listing:
        async def listed() -> Listing:
            uri = _uri(model)
            store = await self._stores.open(uri, Credentials())
            return select(uri, await store.list(uri))

        return self._runner.run(listed())

    def download(
        self,
        model: str,
        *,
        listing: Listing | None = None,
        connections: int = 1,
        impatient: bool = False,
        digest: str = "",
        limits: TransferLimits = LIMITS,
    ) -> Manifest:
        """List it (unless it has been) and fetch it. Raises what the transfer raises."""
        chosen = listing or self.list(model)

        async def run() -> Manifest:
            uri = _uri(model)
            transfer = Transfer(
                self._runtime,
                self._disk,
                self._impatient if impatient else self._patient,
                await self._stores.open(uri, Credentials()),
                Request(key=storage_key(uri), uri=uri, digest=digest),
                connections=Connections(self._runtime, initial=connections, maximum=connections),
                limits=limits,
            )
            return await transfer.run(chosen)

        return self._runner.run(run())

    def verify(self, model: str) -> VerifyReport:
        return self._runner.run(verify_copy(self._disk, storage_key(_uri(model))))

    def published(self, model: str) -> dict[str, bytes]:
        """What a pod would see of it."""
        folder = self.home / layout.published_path(storage_key(_uri(model)))
        return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def _uri(model: str) -> str:
    return f"s3://{BUCKET}/{model}"
