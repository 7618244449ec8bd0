"""The command `localmodel`."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import metadata

from cachecore.errors import LocalModelError
from cachesim.commands import demo, explain, plan, simulate, up, verify

# In the order of `localmodel --help`. Each has `add_parser(subparsers)`, which sets `run` as a default.
COMMANDS = (up, demo, simulate, plan, explain, verify)
# What a shell answers for a program that SIGPIPE ended.
_EXIT_BROKEN_PIPE = 141


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="localmodel", description="Keeps models on the disks of the nodes that serve them, and shows that it does."
    )
    parser.add_argument("--version", action="version", version=f"localmodel {_version()}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when all went well, 1 when it did not, 2 when the command line is wrong."""
    given = build_parser().parse_args(arguments)
    try:
        code: int = given.run(given)
        if not sys.stdout.closed:
            sys.stdout.flush()
    except BrokenPipeError:
        # Who reads the output has seen enough, as in `localmodel simulate ... | head`. What Python flushes as it ends
        # would fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _EXIT_BROKEN_PIPE
    except LocalModelError as error:
        sys.stderr.write(f"localmodel: {error}\n")
        return 1
    return code


def _version() -> str:
    try:
        return metadata.version("localmodel-simulator")
    except metadata.PackageNotFoundError:
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
