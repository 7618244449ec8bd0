"""The whole agent, as the process that is deployed: its memory while it downloads, and its cost when it is idle.

python benchmarks/agent_idle.py [--gib 4] [--idle 60] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from cachecore.errors import InvalidInput, LocalModelError
from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import CopyState, LocalModelInfo, LocalModelNode, LocalModelNodeSpec, NodeStoragePolicy
from cachesim.host.ports import ADDRESS, reserve_port
from cachesim.host.service_process import ServiceProcess
from cachesim.localcluster.cluster import LocalCluster
from cachesim.localcluster.options import LocalClusterOptions
from downloadbench.clients import environment
from downloadbench.server import BUCKET, find_nginx, serving
from downloadbench.workloads import make_files, warm, workloads
from managerscale.processes import cpu_seconds, peak_rss_bytes

_NODE = "node-1"
_MODEL = LocalModelInfo(source_model_uri=f"s3://{BUCKET}/mix", model_name="mix")
_READY_SECONDS = 60.0
_LOOK_SECONDS = 0.1
# What the agent has to say of the copy, it has said by then; the collector of garbage has run too.
_REST_SECONDS = 10.0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """`idle_writes` are those of everybody to the API server: the agent's are among them."""

    schema: str = "localmodel.agent_idle/v1"
    model_bytes: int
    started_rss_bytes: int
    download_seconds: float
    download_cpu_seconds: float
    peak_rss_bytes: int
    idle_seconds: float
    idle_writes: int
    idle_cpu_seconds: float
    idle_rss_bytes: int


def rss_bytes(process_id: int) -> int:
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


async def downloaded(cluster: LocalCluster, timeout_seconds: float) -> None:
    """Raises `LocalModelError` with the agent's own words when the download fails."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        node = await cluster.client.get(LocalModelNode, _NODE)
        for report in node.status.models:
            if report.state == CopyState.DOWNLOADED:
                return
            if report.state in (CopyState.DOWNLOAD_ERROR, CopyState.INSUFFICIENT_STORAGE):
                raise LocalModelError(f"the download failed: {report.reason}: {report.message}")
        await asyncio.sleep(_LOOK_SECONDS)
    raise LocalModelError(f"the model was not there after {timeout_seconds:.0f} s")


async def measure(cluster: LocalCluster, agent: ServiceProcess, model_bytes: int, flags: argparse.Namespace) -> Result:
    started_rss_bytes = rss_bytes(agent.pid)
    start, cpu_start = time.monotonic(), cpu_seconds(agent.pid)
    limit = str(2 * model_bytes)
    spec = LocalModelNodeSpec(local_models=(_MODEL,), storage=NodeStoragePolicy(limit=limit))
    await cluster.client.create(LocalModelNode(metadata=ObjectMeta(name=_NODE), spec=spec))
    await downloaded(cluster, flags.timeout)
    seconds, cpu = time.monotonic() - start, cpu_seconds(agent.pid) - cpu_start
    peak = peak_rss_bytes(agent.pid)
    await asyncio.sleep(_REST_SECONDS)
    before = int((await cluster.client.list(LocalModelNode)).resource_version)
    idle_start, idle_cpu = time.monotonic(), cpu_seconds(agent.pid)
    await asyncio.sleep(flags.idle)
    # A version is counted for each write to the whole server.
    writes = int((await cluster.client.list(LocalModelNode)).resource_version) - before
    return Result(
        model_bytes=model_bytes,
        started_rss_bytes=started_rss_bytes,
        download_seconds=round(seconds, 2),
        download_cpu_seconds=round(cpu, 2),
        peak_rss_bytes=peak,
        idle_seconds=round(time.monotonic() - idle_start, 1),
        idle_writes=writes,
        idle_cpu_seconds=round(cpu_seconds(agent.pid) - idle_cpu, 3),
        idle_rss_bytes=rss_bytes(agent.pid),
    )


async def run(directory: Path, endpoint: str, model_bytes: int, flags: argparse.Namespace) -> Result:
    # Without a node: its lease would be renewed all the time, and that is not the agent's doing.
    async with LocalCluster(LocalClusterOptions(nodes=0, services=False)) as cluster:
        with reserve_port() as reserved:
            port = str(reserved.getsockname()[1])
            agent = ServiceProcess(
                "agent",
                (
                    *(sys.executable, "-m", "cacheagent", "run", "--kubeconfig", str(cluster.kubeconfig)),
                    *("--address", ADDRESS, "--port", port, "--node-name", _NODE, "--root", str(directory / "store")),
                    *("--start-jitter-seconds", "0"),
                ),
                log_path=directory / "agent.log",
                ready_url=f"http://{ADDRESS}:{port}/readyz",
                environment=environment(endpoint, directory),
            )
            await agent.start()
            try:
                await agent.ready(_READY_SECONDS)
                return await measure(cluster, agent, model_bytes, flags)
            finally:
                await agent.stop()


def lines_of(result: Result) -> list[str]:
    gigabytes = result.model_bytes / 1e9
    cpu = result.download_cpu_seconds / gigabytes
    idle_cpu = 100 * result.idle_cpu_seconds / result.idle_seconds
    started, peak, idle = (
        count / 1e6 for count in (result.started_rss_bytes, result.peak_rss_bytes, result.idle_rss_bytes)
    )
    return [
        f"{gigabytes:.2f} GB in {result.download_seconds:.1f} s, {cpu:.2f} CPU s/GB, from the order to the status",
        f"memory, MB: {started:.0f} at the start, {peak:.0f} at most, {idle:.0f} when idle",
        f"idle for {result.idle_seconds:.0f} s: {result.idle_writes} writes to the API, {idle_cpu:.2f} % of a core",
    ]


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(prog="agent_idle", description="Measures the agent's process, busy and idle.")
    flags.add_argument("--gib", type=float, default=4.0, metavar="X", help="of the model (default: 4)")
    flags.add_argument("--idle", type=float, default=60.0, metavar="SECONDS", help="how long nothing happens (60)")
    flags.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="for the download (600)")
    flags.add_argument("--directory", default="", metavar="DIR", help="where files are made and downloaded to")
    flags.add_argument("--json", default="", metavar="FILE", help="where to write the result")
    return flags


def main(arguments: Sequence[str] | None = None) -> int:
    flags = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if flags.gib <= 0 or flags.idle <= 0:
            raise InvalidInput("--gib and --idle are more than 0")
        find_nginx()
        workload = workloads(flags.gib / 4)["mix"]
        with tempfile.TemporaryDirectory(prefix="agent-idle-", dir=flags.directory or None) as scratch:
            directory = Path(scratch)
            checksums = make_files(workload, directory / "data")
            warm(workload, directory / "data")
            with serving(directory / "data", directory / "server", workload.behaviour, checksums) as endpoint:
                result = asyncio.run(run(directory, endpoint, workload.size_bytes, flags))
    except LocalModelError as error:
        sys.stderr.write(f"agent_idle: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("agent_idle: stopped\n")
        return 130
    sys.stdout.write("".join(f"{line}\n" for line in lines_of(result)))
    if flags.json:
        Path(flags.json).write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
