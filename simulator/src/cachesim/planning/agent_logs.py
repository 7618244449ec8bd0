"""Requests from the logs of the agents themselves: which models came into use on which node, and for how long."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Sequence

import msgspec

from cacheagent.decisions import NodePlanned
from cachecore.errors import InvalidInput
from cachecore.names import storage_key
from cachesim.planning.logs import Columns, RequestLog, make_log, read_requests, unix_seconds_of
from cachesim.simulation.parity.lines import Logged, read_log

SUFFIXES = (".log", ".json")

_ONLY_CHANGES = (
    "agents log plans that have actions: only what changed between two of them is seen, and a pod that came and went "
    "in between is not"
)


class _Plan(msgspec.Struct, frozen=True):
    seconds: float
    host: str
    keys: frozenset[str]
    models: dict[str, str]


class _Use(msgspec.Struct, frozen=True):
    """A key that came into use; its duration is not a number when it still was at the end of the log."""

    seconds: float
    host: str
    key: str
    duration_seconds: float


def read_any(paths: Sequence[pathlib.Path]) -> RequestLog:
    """Logs of agents by their suffixes, or one log of requests. Raises `InvalidInput`."""
    if paths and all(path.suffix.lower() in SUFFIXES for path in paths):
        return read_agent_logs(paths)
    if len(paths) != 1:
        raise InvalidInput(
            f"{len(paths)} files: give one log of requests, or any number of agents' logs, which end in "
            f"{' or '.join(SUFFIXES)}"
        )
    return read_requests(paths[0])


def read_agent_logs(paths: Sequence[pathlib.Path]) -> RequestLog:
    """The requests that agents saw, from their JSON logs, in any number of files. Raises `InvalidInput`.

    A request is a model that comes into use between two plans of a node, or is in use in its first.
    """
    where = ", ".join(map(str, paths))
    plans, notes = _plans(paths)
    if not plans:
        raise InvalidInput(f"{where}: 0 plans of agents: give agents' logs with --log-format json and --log-level info")
    names: dict[str, str] = {}
    for plan in plans:
        for key, name in plan.models.items():
            names.setdefault(key, name)
    uses = _uses(plans)
    named = [use for use in uses if use.key in names]
    if not named:
        raise InvalidInput(f"{where}: 0 requests: none of the {len(plans)} plans saw a model in use; give longer logs")
    if len(named) < len(uses):
        notes.append(f"uses of a model that no plan names, and left out: {len(uses) - len(named)}")
    return make_log(
        Columns(
            path=where,
            lines=range(1, len(named) + 1),
            timestamps=[use.seconds for use in named],
            models=[names[use.key] for use in named],
            nodes=[use.host for use in named],
            durations=[use.duration_seconds for use in named],
            notes=(_ONLY_CHANGES, *notes),
        )
    )


def _plans(paths: Sequence[pathlib.Path]) -> tuple[list[_Plan], list[str]]:
    """By time, over all files; and what of the files could not be taken."""
    plans: list[_Plan] = []
    notes: list[str] = []
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from error
        log = read_log(str(path), content)
        notes += log.notes
        plans += [
            _plan(logged, logged.decision) for logged in log.decisions if isinstance(logged.decision, NodePlanned)
        ]
    return sorted(plans, key=lambda plan: (plan.seconds, plan.host)), notes


def _plan(logged: Logged, planned: NodePlanned) -> _Plan:
    try:
        seconds = unix_seconds_of(logged.time)
    except ValueError as error:
        raise InvalidInput(
            f"{logged.where}: can't read the time {logged.time!r}: give the log as the agent wrote it"
        ) from error
    return _Plan(
        seconds=seconds,
        host=planned.host,
        keys=frozenset(seen.key for seen in planned.seen.keys if seen.in_use),
        models={storage_key(model.source_model_uri): model.model_name for model in planned.seen.spec.local_models},
    )


def _uses(plans: Sequence[_Plan]) -> list[_Use]:
    """By time."""
    uses: list[_Use] = []
    begun: dict[str, dict[str, float]] = {}
    for plan in plans:
        running = begun.setdefault(plan.host, {})
        for key in sorted(running.keys() - plan.keys):
            begin = running.pop(key)
            uses.append(_Use(begin, plan.host, key, plan.seconds - begin))
        for key in sorted(plan.keys - running.keys()):
            running[key] = plan.seconds
    uses += [_Use(begin, host, key, math.nan) for host, running in begun.items() for key, begin in running.items()]
    return sorted(uses, key=lambda use: (use.seconds, use.host, use.key))
