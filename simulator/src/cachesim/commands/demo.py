"""`localmodel demo`: a cluster, the story of a model's way, and the cluster's end."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cachecore.errors import InvalidInput
from cachecore.quantity import quantity_bytes
from cachesim.commands.up import add_cluster_arguments, cluster_options, run_until_signal

if TYPE_CHECKING:
    from cachesim.demo.venue import Venue

_INTERRUPTED = 130
_PACE_SECONDS = 0.7
# Which say nothing of a cluster that is there already.
_LOCAL_FLAGS = ("--cluster", "--disk", "--port", "--s3-port", "--s3-bandwidth", "--state", "--log-level")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "demo",
        help="the whole story on this machine, in a minute, or on a cluster that you have",
        description="Starts a cluster on this machine, or takes the one of --kubeconfig, and shows a model's way: from "
        "S3 to the nodes' disks, into pods with and without the cache, through pressure, eviction, a crash and "
        "deletion. Then stops all of it.",
    )
    parser.add_argument("--json", default="", metavar="FILE", help="write what was seen, schema localmodel.demo/v1")
    parser.add_argument(
        "--model-size", default="256Mi", metavar="SIZE", help="of the model that is generated (default: 256Mi)"
    )
    parser.add_argument(
        "--s3-bandwidth",
        default="64Mi",
        metavar="SIZE",
        help="per second, that S3 gives to all together, as over a network; 0: as fast as this machine (default: 64Mi)",
    )
    parser.add_argument("--model", default="", metavar="DIR", help="your own model instead, as a directory of files")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running at the end, until Ctrl-C")
    parser.add_argument("--no-color", action="store_true", help="no colours on the terminal")
    parser.add_argument(
        "--pace",
        type=float,
        default=None,
        metavar="SECONDS",
        help=f"pause after each step; {_PACE_SECONDS} on a terminal",
    )
    parser.add_argument(
        "--kubeconfig",
        default="",
        metavar="FILE",
        help="tell the story on the cluster that this is for, as localmodel is deployed there; it is installed for the "
        "story, and taken away after it (needs kubectl)",
    )
    parser.add_argument(
        "--overlay",
        default="deploy/overlays/demo",
        metavar="DIR",
        help="with --kubeconfig, what is applied; one of your own names your images (default: deploy/overlays/demo)",
    )
    add_cluster_arguments(parser)
    defaults = {flag: parser.get_default(flag.removeprefix("--").replace("-", "_")) for flag in _LOCAL_FLAGS}
    parser.set_defaults(run=run, defaults=defaults)


def run(arguments: argparse.Namespace) -> int:
    # Heavy, and of no use to the other commands.
    from cachesim.demo.screen import Screen
    from cachesim.demo.story import DemoOptions, Story

    screen = Screen(color=not arguments.no_color)
    pace = arguments.pace if arguments.pace is not None else _PACE_SECONDS * screen.is_terminal
    options = DemoOptions(
        model_bytes=_bytes("--model-size", arguments.model_size),
        model=arguments.model,
        keep=arguments.keep,
        pace_seconds=pace,
    )
    story = Story(_venue(arguments), options, screen)
    report_path = _writable(arguments.json) if arguments.json else None

    async def tell() -> int:
        return 0 if await story.tell() else 1

    code = run_until_signal(tell())
    if report_path is not None:
        report_path.write_bytes(story.report.to_json())
    if story.told:
        return 0 if story.report.ok else 1
    # An interrupt is no success.
    return code or _INTERRUPTED


def _venue(arguments: argparse.Namespace) -> Venue:
    """Raises `InvalidInput`."""
    if arguments.kubeconfig:
        from cachesim.demo.deployed_venue import DeployedOptions, DeployedVenue

        for flag in _LOCAL_FLAGS:
            if getattr(arguments, flag.removeprefix("--").replace("-", "_")) != arguments.defaults[flag]:
                raise InvalidInput(f"{flag} is about a cluster on this machine: leave it out, or --kubeconfig")
        return DeployedVenue(
            DeployedOptions(kubeconfig=arguments.kubeconfig, overlay=arguments.overlay, nodes=arguments.nodes)
        )
    from cachesim.demo.local_venue import LocalVenue

    options = cluster_options(arguments)
    rate = _bytes("--s3-bandwidth", arguments.s3_bandwidth)
    return LocalVenue(msgspec.structs.replace(options, s3_bytes_per_second=rate))


def _bytes(flag: str, size: str) -> int:
    try:
        return quantity_bytes(size)
    except InvalidInput as error:
        raise InvalidInput(f"{flag}: {error}") from error


def _writable(path: str) -> Path:
    """Raises `InvalidInput` before the story begins, not after it."""
    found = Path(path)
    try:
        found.touch()
    except OSError as error:
        raise InvalidInput(f"--json {path}: {error.strerror}") from error
    return found
