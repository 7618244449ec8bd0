"""The agent as the process that is deployed: a real disk, S3 over HTTP, the API over HTTPS, and signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import boto3
import pytest

from cachecore.names import storage_key
from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import LocalModelInfo, LocalModelNode, LocalModelNodeSpec, NodeStoragePolicy
from cachecore.store import layout
from cachecore.store.digest import digest_of_contents
from cachesim.host.ports import reserve_port
from cachesim.localcluster.cluster import LocalCluster
from cachesim.localcluster.options import LocalClusterOptions

NODE = "node-1"
MODEL = LocalModelInfo(source_model_uri="s3://models/iris", model_name="iris")
KEY = storage_key(MODEL.source_model_uri)
CONTENTS = {"weights.bin": os.urandom(72 * 2**20), "config.json": b"{}", "sub/empty": b""}


class Bench:
    """A cluster without services, a model in its S3, and agents that come and go."""

    def __init__(self, cluster: LocalCluster, root: Path) -> None:
        self.cluster = cluster
        self.root = root
        # Kept while the bench is: what runs beside it is not given the same one.
        self._reserved = reserve_port()
        self.port = int(self._reserved.getsockname()[1])

    def close(self) -> None:
        self._reserved.close()

    async def seed(self) -> None:
        def put() -> None:
            s3 = self.cluster.s3
            client = boto3.client(
                "s3",
                endpoint_url=s3.endpoint_url,
                aws_access_key_id=s3.access_key,
                aws_secret_access_key=s3.secret_key,
                region_name=s3.region,
            )
            client.create_bucket(Bucket="models")
            for path, content in CONTENTS.items():
                client.put_object(Bucket="models", Key=f"iris/{path}", Body=content)
            client.close()

        await asyncio.to_thread(put)

    async def assign(self, **policy: Any) -> None:
        spec = LocalModelNodeSpec(local_models=(MODEL,), storage=NodeStoragePolicy(limit="1Gi", **policy))
        await self.cluster.client.create(LocalModelNode(metadata=ObjectMeta(name=NODE), spec=spec))

    @contextlib.asynccontextmanager
    async def agent(self) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cacheagent", "run", "--kubeconfig", str(self.cluster.kubeconfig)),
            *("--address", "127.0.0.1", "--port", str(self.port), "--log-level", "warning"),
            *("--node-name", NODE, "--root", str(self.root)),
            env={**os.environ, **self.cluster.s3.environment},
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    async def status(self) -> Any:
        node = await self.cluster.client.get(LocalModelNode, NODE)
        return node.status.models[0] if node.status.models else None

    async def until(self, holds: Callable[[Any], bool]) -> Any:
        """Poll the status: what other processes do takes its time."""
        async with asyncio.timeout(30):
            while True:
                status = await self.status()
                if status is not None and holds(status):
                    return status
                await asyncio.sleep(0.05)

    def published(self) -> dict[str, bytes]:
        folder = self.root / layout.published_path(KEY)
        return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def run(tmp_path: Path, scenario: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with LocalCluster(LocalClusterOptions(nodes=1, services=False)) as cluster:
            with contextlib.closing(Bench(cluster, tmp_path / "store")) as bench:
                await bench.seed()
                await scenario(bench)

    asyncio.run(main())


def test_a_model_travels_to_the_disk(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.assign()
        async with bench.agent() as agent:
            status = await bench.until(lambda status: status.state == "Downloaded")
            assert status.digest == digest_of_contents(CONTENTS)
            assert bench.published() == CONTENTS
            for page, word in (("readyz", "ready"), ("metrics", "localmodel_downloads_total")):
                url = f"http://127.0.0.1:{bench.port}/{page}"
                assert word in (await asyncio.to_thread(urllib.request.urlopen, url)).read().decode()
            agent.terminate()
            assert await agent.wait() == 0

    run(tmp_path, scenario)


def test_a_kill_in_the_middle_is_resumed_and_never_seen(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.assign(bandwidth_limit="24Mi")
        async with bench.agent() as agent:
            await bench.until(lambda status: status.bytes_done >= 16 * 2**20)
            agent.kill()
            await agent.wait()
        assert bench.published() == {}
        async with bench.agent():
            await bench.until(lambda status: status.state == "Downloaded")
        assert bench.published() == CONTENTS
        counters = await bench.cluster.s3.counters()
        # At most what was on its way is fetched twice: one part per connection.
        assert counters.bytes_served < sum(map(len, CONTENTS.values())) + 8 * 16 * 2**20
        served = counters.bytes_served
        async with bench.agent():
            await asyncio.sleep(1)
            assert (await bench.cluster.s3.counters()).bytes_served == served

    run(tmp_path, scenario)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system of a size needs root")
def test_a_disk_that_is_too_small_is_a_state_and_heals(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.mkdir()

    async def mount(*arguments: str) -> bool:
        process = await asyncio.create_subprocess_exec(*arguments, stderr=asyncio.subprocess.DEVNULL)
        return await process.wait() == 0

    async def scenario(bench: Bench) -> None:
        if not await mount("mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(root)):
            pytest.skip("mounting is not allowed here")
        try:
            await bench.assign()
            async with bench.agent():
                status = await bench.until(lambda status: status.state == "InsufficientStorage")
                assert status.reason == "ModelLargerThanLimit"
                assert await mount("mount", "-o", "remount,size=200m", str(root))
                await bench.until(lambda status: status.state == "Downloaded")
            assert bench.published() == CONTENTS
        finally:
            await mount("umount", "-l", str(root))

    run(tmp_path, scenario)


def test_a_root_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cacheagent", "run", "--node-name", NODE, "--root", str(tmp_path / "file/root")),
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await process.communicate()
        assert process.returncode == 1
        assert errors.decode().splitlines()[-1] == f"error: --root {tmp_path}/file/root: Not a directory"

    asyncio.run(main())
