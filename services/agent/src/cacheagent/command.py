"""`cacheagent run`: the agent with its adapters."""

from __future__ import annotations

import argparse
import logging
import os

from prometheus_client import CollectorRegistry

from cacheagent.adapters.object_stores import DriverStores
from cacheagent.adapters.part_files import BUFFER_BYTES_MIN
from cacheagent.adapters.part_mover import RangeMover
from cacheagent.adapters.posix_disk import PosixDisk
from cacheagent.agent import Agent
from cacheagent.assembly import TransferLimits
from cacheagent.options import AgentOptions
from cacheagent.version import VERSION
from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.adapters.flags import FlagParser, not_negative_seconds, positive_seconds
from cachecore.adapters.kube import connect
from cachecore.adapters.logs import configure_logging
from cachecore.adapters.service import run_service
from cachecore.adapters.status_server import StatusServer
from cachecore.errors import InvalidInput
from cachecore.names import SYSTEM_NAMESPACE
from cachecore.quantity import quantity_bytes
from cachecore.tasks import TaskGroup

logger = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    flags = make_parser().parse_flags(arguments)
    configure_logging(flags.log_level, flags.log_format, "cacheagent")
    return run_service(lambda runtime: run(runtime, flags))


def make_parser() -> FlagParser:
    parser = FlagParser(prog="cacheagent run", description="Keep the models of one node on its disk.")
    parser.add_common_flags(port=8082)
    parser.add_flag("--node-name", required=True, help="the Node that this agent runs on")
    parser.add_flag("--root", required=True, metavar="DIR", help="the directory that the models are kept in")
    parser.add_flag(
        "--system-namespace",
        default=SYSTEM_NAMESPACE,
        help="where the credentials of cluster-wide caches are",
    )
    parser.add_flag(
        "--file-sources",
        default="",
        metavar="DIR",
        help="the directory below which file:// models may be; empty: file:// is off",
    )
    parser.add_flag(
        "--connections",
        default=32,
        type=_positive,
        help="how many parts may move at once, over all downloads; how many do is found by measuring",
    )
    parser.add_flag(
        "--transfer-memory",
        default="64Mi",
        type=_memory,
        metavar="SIZE",
        help="how much memory the bytes of all parts that move may take",
    )
    parser.add_flag(
        "--source-checksums",
        default=True,
        help="hold what arrives against the checksums that the stores have; without, only against what was written",
    )
    parser.add_flag(
        "--start-jitter-seconds",
        default=2.0,
        type=not_negative_seconds,
        help="within which time a model that no pod waits for begins, so that a fleet doesn't ask its source at once",
    )
    parser.add_flag(
        "--warm-page-cache",
        default=False,
        help="read a model that has been published into memory that nobody uses",
    )
    parser.add_flag(
        "--progress-seconds", default=2.0, type=positive_seconds, help="how often progress is written to status"
    )
    parser.add_flag(
        "--rescan-seconds", default=30.0, type=positive_seconds, help="how often the disk is looked at anew"
    )
    return parser


async def run(runtime: AsyncioRuntime, flags: argparse.Namespace) -> None:
    """Until cancelled; then everything that was opened is closed."""
    try:
        os.makedirs(flags.root, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"--root {flags.root}: {error.strerror}") from error
    registry = CollectorRegistry()
    client = await connect(flags.kubeconfig or None, user_agent=f"localmodel-agent/{VERSION}")
    disk = PosixDisk(flags.root)
    stores = DriverStores(os.environ, file_sources=flags.file_sources)
    options = AgentOptions(
        node_name=flags.node_name,
        system_namespace=flags.system_namespace,
        progress_seconds=flags.progress_seconds,
        rescan_seconds=flags.rescan_seconds,
        connections_initial=min(8, flags.connections),
        connections_max=flags.connections,
        transfer=TransferLimits(source_checksums=flags.source_checksums),
        start_jitter_seconds=flags.start_jitter_seconds,
        warm_page_cache=flags.warm_page_cache,
    )
    mover = RangeMover(
        disk,
        connections=flags.connections,
        memory_bytes=quantity_bytes(flags.transfer_memory),
        source_checksums=flags.source_checksums,
    )
    agent = Agent(runtime, client, disk, stores, mover, options, registry)
    server = StatusServer(address=flags.address, port=flags.port, registry=registry, ready=lambda: agent.ready)
    group = TaskGroup(runtime)
    try:
        server.bind()
        logger.info("keeping the models of node %s in %s", flags.node_name, flags.root)
        group.spawn(server.run(), name="status-server")
        group.spawn(agent.run(), name="agent")
        await group.join()
    finally:
        await stores.close()
        await client.close()
        mover.close()
        disk.close()


def _memory(text: str) -> str:
    try:
        enough = quantity_bytes(text) >= BUFFER_BYTES_MIN
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not enough:
        raise argparse.ArgumentTypeError(f"{text} is less than one buffer of 1Mi")
    return text


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number
