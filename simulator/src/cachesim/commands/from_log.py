"""`localmodel simulate --from-log`: what was decided for real, decided again in the simulator, and compared."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from cachecore.errors import InvalidInput
from cachesim.simulation.parity.comparing import Parity, difference, steps
from cachesim.simulation.parity.lines import ReadLog, read_log

_SHOWN = 10


def compare_and_tell(paths: Sequence[Path], json_path: Path | None) -> int:
    """Exit code 1 when a decision differs. Raises `InvalidInput`."""
    parity = compare([read_log(str(path), _read(path)) for path in paths])
    _write(parity, json_path)
    print(describe(parity))
    return 0 if parity.ok else 1


def compare(logs: Sequence[ReadLog]) -> Parity:
    """Decide each decision of the logs again."""
    decisions = [logged for log in logs for logged in log.decisions]
    found = [difference(logged) for logged in decisions]
    differences = tuple(one for one in found if one is not None)
    kinds = Counter(step.kind for logged in decisions for step in steps(logged.decision))
    return Parity(
        ok=not differences,
        decisions=len(decisions),
        kinds=dict(sorted(kinds.items())),
        differences=differences,
        left_out=tuple(note for log in logs for note in log.notes),
    )


def describe(parity: Parity) -> str:
    """The comparison in words."""
    counts = ", ".join(f"{count} {kind}" for kind, count in parity.kinds.items())
    differing = len(parity.differences)
    verdict = f"{differing} of them differ" if differing else "all the same"
    lines = [f"{parity.decisions} decisions, {verdict}", f"  {counts}"] if parity.decisions else ["0 decisions"]
    for one in parity.differences[:_SHOWN]:
        lines += [
            f"{one.where}: {one.time} {one.host}",
            f"  decided there: {one.there}",
            f"  decided here:  {one.here}",
        ]
    if differing > _SHOWN:
        lines.append(f"and {differing - _SHOWN} differences more")
    return "\n".join([*lines, *parity.left_out])


def _read(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from error


def _write(parity: Parity, path: Path | None) -> None:
    if path is None:
        return
    content = msgspec.json.encode(parity)
    if str(path) == "-":
        print(content.decode(), file=sys.__stdout__)
        return
    try:
        path.write_bytes(msgspec.json.format(content, indent=2) + b"\n")
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written: {error.strerror}") from error


def refuse_others(arguments: argparse.Namespace) -> None:
    """Raises `InvalidInput` for what means nothing beside a log."""
    others = {"SCENARIO": arguments.scenario, "--seeds": arguments.seeds, "--merge": arguments.merge}
    others |= {"--faults": arguments.faults, "--report": arguments.report, "--replay": arguments.replay or None}
    given = [name for name, value in others.items() if value is not None]
    if given:
        raise InvalidInput(f"{given[0]} and --from-log: a log is compared without it")
