"""`python -m cachesim.kserve`: the stand-in for KServe as a process, in the pod of deploy/overlays/demo."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.adapters.flags import FlagParser
from cachecore.adapters.kube import connect
from cachecore.adapters.logs import configure_logging
from cachecore.adapters.service import run_service
from cachecore.adapters.status_server import StatusServer
from cachecore.tasks import TaskGroup
from cachesim.kserve.namespaced import NamespacedClient
from cachesim.kserve.predictor import KServeOptions
from cachesim.kserve.standin import KServeStandIn

DEFAULTS = KServeOptions()


def parser(environment: Mapping[str, str] | None = None) -> FlagParser:
    """Every flag of the process."""
    flags = FlagParser(
        environment=environment,
        prog="python -m cachesim.kserve",
        description="Makes the pods of InferenceServices, as KServe's controller and pod mutator do.",
    )
    flags.add_common_flags(port=8080)
    flags.add_flag("--namespace", required=True, help="the namespace whose InferenceServices are served")
    flags.add_flag(
        "--storage-initializer-image",
        default=DEFAULTS.storage_initializer_image,
        metavar="IMAGE",
        help="image of the container that downloads, where no cache does",
    )
    flags.add_flag("--storage-initializer-command", default="", metavar="WORDS", help="run that in it, not its own")
    flags.add_flag(
        "--serving-image",
        default=DEFAULTS.serving_image,
        metavar="IMAGE",
        help="image of the serving container, where the service names no containers",
    )
    flags.add_flag("--serving-command", default="", metavar="WORDS", help="run that in it, not its own")
    return flags


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal; the exit code."""
    flags = parser().parse_flags(arguments)
    configure_logging(flags.log_level, flags.log_format, "kserve-stand-in")
    return run_service(lambda runtime: serve(runtime, flags))


async def serve(runtime: AsyncioRuntime, flags: Any) -> None:
    """Wire the parts together and run them until cancelled."""
    client = await connect(flags.kubeconfig or None, user_agent="localmodel-kserve-stand-in")
    try:
        images = KServeOptions(
            storage_initializer_image=flags.storage_initializer_image,
            storage_initializer_command=tuple(shlex.split(flags.storage_initializer_command)),
            serving_image=flags.serving_image,
            serving_command=tuple(shlex.split(flags.serving_command)),
        )
        stand_in = KServeStandIn(runtime, NamespacedClient(client, flags.namespace), images)
        status = StatusServer(address=flags.address, port=flags.port, registry=CollectorRegistry(), ready=lambda: True)
        status.bind()
        group = TaskGroup(runtime)
        group.spawn(stand_in.run(), name="kserve-stand-in")
        group.spawn(status.run(), name="status-server")
        await group.join()
    finally:
        await client.close()


if __name__ == "__main__":
    sys.exit(main())
