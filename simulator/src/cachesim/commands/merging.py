"""`localmodel simulate --merge`: one outcome of a campaign whose seeds ran on several machines."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cachecore.errors import InvalidInput
from cachesim.campaign.merging import Part, decode_parts, merge
from cachesim.commands.simulate import describe, write_outcome
from cachesim.simulation.outcome import Outcome
from cachesim.simulation.seeds import parse_seeds


def merge_and_tell(arguments: argparse.Namespace) -> int:
    """Exit code 1 when the whole campaign has failed. Raises `InvalidInput`."""
    wanted = None if arguments.seeds is None else parse_seeds(arguments.seeds)
    parts: list[Part] = []
    for path in arguments.merge:
        parts += decode_parts("standard input" if str(path) == "-" else str(path), _read(path))
    outcome = merge(parts, wanted)
    write_outcome(outcome, arguments.json)
    print(f"{len(parts)} parts merged")
    print(describe(outcome))
    _tell_rest(outcome)
    return 0 if outcome.ok else 1


def _read(path: Path) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from error


def _tell_rest(outcome: Outcome) -> None:
    if outcome.missed:
        print(f"  never seen: {', '.join(outcome.missed)}")
    for failure in outcome.failures:
        print(f"  seed {failure.seed} broke {failure.invariant}: {failure.message}")
