"""The command `localmodel`."""

from __future__ import annotations

import argparse
import sys
from importlib import metadata

from cachecore.errors import LocalModelError
from cachesim.commands import demo, simulate, up, verify

# In the order of `localmodel --help`. Each has `add_parser(subparsers)`, which sets `run` as a default.
COMMANDS = (up, demo, simulate, verify)


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
