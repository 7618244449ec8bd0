"""The manager at scale: what a thousand nodes and a hundred models cost it, on a real control plane.

python benchmarks/manager_scale.py --nodes 200 --models 20 [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from cachecore.errors import InvalidInput, LocalModelError
from cachesim.controlplane import find_binaries
from managerscale.bench import BenchOptions, run_bench
from managerscale.results import Result, growth_line, lines_of, together

_MOST_NODES = 5000
_MOST_MODELS = 1000


def options_of(arguments: argparse.Namespace) -> list[BenchOptions]:
    """One for each size. Raises `InvalidInput`."""
    models = _number("--models", arguments.models, _MOST_MODELS)
    # The manager gathers news for up to five seconds, and writes progress of a cache less often the more there are.
    quiet_seconds = arguments.quiet if arguments.quiet is not None else 8.0 + models / 10.0
    for name in ("timeout", "idle", "quiet"):
        value = getattr(arguments, name)
        if value is not None and not 0 <= value < float("inf"):
            raise InvalidInput(f"--{name} must be a number of seconds, not {value}")
    return [
        BenchOptions(
            nodes=nodes,
            models=models,
            timeout_seconds=arguments.timeout,
            idle_seconds=arguments.idle,
            quiet_seconds=quiet_seconds,
        )
        for nodes in sorted({_number("--nodes", text, _MOST_NODES) for text in arguments.nodes.split(",")})
    ]


def _number(flag: str, text: str, most: int) -> int:
    if not text.strip().isdecimal() or not 1 <= int(text) <= most:
        raise InvalidInput(f"{flag}: {text.strip() or 'nothing'!r} is not a number from 1 to {most}")
    return int(text)


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(
        prog="manager_scale",
        description="Measures the manager on a real control plane (`make kube`), with agents that answer at once.",
    )
    flags.add_argument("--nodes", default="200", metavar="N[,N]", help="how many; several sizes are compared")
    flags.add_argument("--models", default="20", metavar="M", help="how many, created together (default: 20)")
    flags.add_argument("--json", default="", metavar="FILE", help="where to write the result; - is standard output")
    flags.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="for each change (default: 600)")
    flags.add_argument("--idle", type=float, default=60.0, metavar="SECONDS", help="how long nothing happens (60)")
    flags.add_argument("--quiet", type=float, metavar="SECONDS", help="without a write, after which a change is over")
    flags.add_argument("--keep", default="", metavar="DIR", help="keep logs, the audit log and etcd's data there")
    return flags


async def run_sizes(sizes: list[BenchOptions], directory: Path) -> list[Result]:
    start = time.monotonic()

    def say(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - start:6.1f} s  {line}\n")

    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - for the type checker: this runs in one
    # A Ctrl-C cancels the run by itself.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    results: list[Result] = []
    for options in sizes:
        below = directory / f"{options.nodes}x{options.models}"
        below.mkdir(parents=True, exist_ok=True)
        results.append(await run_bench(options, below, say))
        for line in lines_of(results[-1]):
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all came to be and nothing was lost; 1 with one line on standard error, or with the numbers so far."""
    flags = parser().parse_args(arguments)
    try:
        sizes = options_of(flags)
        find_binaries()
        output = _writable(flags.json)
        with tempfile.TemporaryDirectory(prefix="manager-scale-") as scratch:
            results = asyncio.run(run_sizes(sizes, Path(flags.keep or scratch)))
    except LocalModelError as error:
        sys.stderr.write(f"manager_scale: {error}\n")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write("manager_scale: stopped\n")
        return 130
    result = together(results)
    if isinstance(result.growth, msgspec.Struct):
        sys.stdout.write(f"{growth_line(result.growth)}\n")
    if output:
        content = msgspec.json.format(msgspec.json.encode(result), indent=2).decode()
        if output == "-":
            sys.stdout.write(f"{content}\n")
        else:
            Path(output).write_text(f"{content}\n")
    return 0 if all(one.whole for one in results) else 1


def _writable(output: str) -> str:
    """The file to write to; it is found out now, not after ten minutes, that it can't be. Raises `InvalidInput`."""
    folder = Path(output).parent
    if output and output != "-" and (Path(output).is_dir() or not os.access(folder, os.W_OK)):
        raise InvalidInput(f"--json {output}: cannot be written")
    return output


if __name__ == "__main__":
    sys.exit(main())
