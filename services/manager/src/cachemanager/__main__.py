"""`cachemanager`: the manager as a process."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.adapters.flags import FlagParser, positive_seconds
from cachecore.adapters.kube import connect
from cachecore.adapters.logs import configure_logging
from cachecore.adapters.service import run_service
from cachecore.adapters.status_server import StatusServer
from cachecore.names import SYSTEM_NAMESPACE
from cachecore.tasks import TaskGroup
from cachemanager.manager import Manager
from cachemanager.options import ManagerOptions

DEFAULTS = ManagerOptions()


def parser() -> FlagParser:
    """Every flag of the service."""
    flags = FlagParser(
        prog="cachemanager",
        description="Decides which node holds which model; keeps volumes, claims, statuses and node labels.",
    )
    flags.add_common_flags(port=8080)
    flags.add_flag("--leader-election", default=True, help="write only while holding the lease of all managers")
    flags.add_flag("--identity", default="", metavar="NAME", help="name in the lease; empty: host name and a number")
    flags.add_flag("--system-namespace", default=SYSTEM_NAMESPACE, help="namespace of the lease")
    flags.add_flag(
        "--tolerated-taints",
        default=",".join(DEFAULTS.tolerated_taint_keys),
        metavar="KEYS",
        help="keys of taints, separated by commas, that don't keep models off a node",
    )
    flags.add_flag(
        "--progress-interval",
        default=DEFAULTS.progress_interval_seconds,
        type=positive_seconds,
        help="least seconds between two writes of a cache's status that tell only of progress",
    )
    return flags


def options_from(flags: argparse.Namespace, runtime: AsyncioRuntime) -> ManagerOptions:
    """The options that the flags ask for."""
    keys = (key.strip() for key in flags.tolerated_taints.split(","))
    return ManagerOptions(
        leader_election=flags.leader_election,
        identity=flags.identity or f"{socket.gethostname()}-{runtime.random.getrandbits(32):08x}",
        system_namespace=flags.system_namespace,
        tolerated_taint_keys=tuple(key for key in keys if key),
        progress_interval_seconds=flags.progress_interval,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal; the exit code."""
    flags = parser().parse_flags(arguments)
    configure_logging(flags.log_level, flags.log_format, "manager")
    return run_service(lambda runtime: serve(runtime, flags))


async def serve(runtime: AsyncioRuntime, flags: argparse.Namespace) -> None:
    """Wire the parts together and run them until cancelled."""
    registry = CollectorRegistry()
    client = await connect(flags.kubeconfig or None, user_agent="localmodel-manager")
    try:
        manager = Manager(runtime, client, options_from(flags, runtime), registry)
        status = StatusServer(address=flags.address, port=flags.port, registry=registry, ready=lambda: manager.ready)
        status.bind()
        group = TaskGroup(runtime)
        group.spawn(manager.run(), name="manager")
        group.spawn(status.run(), name="status-server")
        await group.join()
    finally:
        await client.close()


if __name__ == "__main__":
    sys.exit(main())
