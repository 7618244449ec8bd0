"""`localmodel up`: a whole cluster on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import signal
import sys
import time

import msgspec

from cachecore.errors import InvalidInput, LocalModelError
from cachecore.quantity import quantity_bytes
from cachesim.localcluster.options import LocalClusterOptions


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "up",
        help="a whole cluster on this machine, until Ctrl-C",
        description="Runs a cluster on this machine until Ctrl-C: a control plane, S3 (moto), the manager, the "
        "webhook, an agent per node, and nodes that run pods as processes.",
    )
    add_cluster_arguments(parser)
    parser.add_argument(
        "--kubeconfig", default="", metavar="FILE", help="where to write it (default: in the state directory)"
    )
    parser.set_defaults(run=run)


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of every command that starts a cluster; `cluster_options` reads them."""
    parser.add_argument("--nodes", type=int, default=2, metavar="N", help="how many nodes (default: 2)")
    parser.add_argument(
        "--cluster",
        default="embedded",
        choices=("embedded", "kube"),
        help="the control plane: our own API server, or Kubernetes' own, which `make kube` builds (default: embedded)",
    )
    parser.add_argument("--disk", default="", metavar="SIZE", help="disk of each node: 2Gi (default: this machine's)")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="of the API server (default: any free one)")
    parser.add_argument("--s3-port", type=int, default=0, metavar="N", help="of S3 (default: any free one)")
    parser.add_argument(
        "--state", default="", metavar="DIR", help="where logs and disks are kept (default: a temporary directory)"
    )
    parser.add_argument(
        "--log-level",
        default="info",
        choices=("debug", "info", "warning", "error"),
        help="of the logs (default: info)",
    )


def cluster_options(arguments: argparse.Namespace) -> LocalClusterOptions:
    """Raises InvalidInput for a size that is none, and for a control plane that isn't there."""
    try:
        disk_bytes = quantity_bytes(arguments.disk) if arguments.disk else None
    except InvalidInput as error:
        raise InvalidInput(f"--disk: {error}") from error
    if arguments.cluster == "kube":
        # Heavy, and of no use to the other cluster.
        from cachesim.controlplane import find_binaries

        find_binaries()
    return LocalClusterOptions(
        nodes=arguments.nodes,
        control_plane=arguments.cluster,
        disk_bytes=disk_bytes,
        state=arguments.state,
        port=arguments.port,
        s3_port=arguments.s3_port,
        log_level=arguments.log_level,
    )


def run(arguments: argparse.Namespace) -> int:
    options = msgspec.structs.replace(cluster_options(arguments), kubeconfig=arguments.kubeconfig)
    return run_until_signal(_up(options))


def run_until_signal(main: object) -> int:
    """Run a coroutine that answers an exit code; the first SIGINT, SIGTERM or SIGHUP cancels it, so that it cleans up.

    A LocalModelError is one line on stderr and exit code 1.
    """

    async def watched() -> int:
        task: asyncio.Task[int] = asyncio.ensure_future(main)  # type: ignore[call-overload]
        received: list[signal.Signals] = []

        def stop(number: signal.Signals) -> None:
            if not received:
                received.append(number)
                task.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop, number)
        try:
            return await task
        except asyncio.CancelledError:
            if not received:
                raise
            # Ctrl-C is how a person ends it; a signal from elsewhere is told on, as shells do.
            return 0 if received[0] is signal.SIGINT else 128 + received[0]

    try:
        return asyncio.run(watched())
    except LocalModelError as error:
        sys.stderr.write(f"localmodel: {error}\n")
        return 1


async def _up(options: LocalClusterOptions) -> int:
    # Heavy, and of no use to the other commands.
    from cachesim.localcluster.cluster import LocalCluster

    started = time.monotonic()
    _say(f"starting a cluster of {options.nodes} nodes ...")
    async with LocalCluster(options) as cluster:
        s3 = cluster.s3
        lines = [
            f"ready after {time.monotonic() - started:.1f} s",
            "",
            f"  API server   {cluster.api_url}",
            f"  S3           {s3.endpoint_url}",
            f"  nodes        {', '.join(cluster.nodes) or 'none'}",
            f"  state        {cluster.state}  (logs/, nodes/)",
            "",
            f"  export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}",
            *(f"  export {name}={shlex.quote(value)}" for name, value in s3.environment.items()),
            "",
            "Ctrl-C ends it.",
        ]
        for line in lines:
            _say(line)
        try:
            await asyncio.Event().wait()
        finally:
            _say("stopping ...")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
