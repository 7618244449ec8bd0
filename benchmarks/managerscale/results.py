"""What the benchmark found, as JSON and as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

SCHEMA = "localmodel.manager_scale/v1"


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """What one change cost the manager. `seconds` is None when it was not done in time."""

    ready: bool
    seconds: float | None
    writes: dict[str, int]
    writes_total: int
    conflicts: int
    refused: int
    manager_cpu_seconds: float


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """The largest run over the smallest: linear is where `seconds` and `writes` are no more than `nodes`."""

    nodes: float
    seconds: float | None
    writes: float
    manager_cpu_seconds: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `smaller` and `growth` are there when several sizes were measured; the rest is of the largest then.

    `writes` and what goes with them are counted from the manager's start until all is ready and quiet; the peak of the
    memory is that of the whole run. `request_bytes` are the bodies that the API server took of the manager in the whole
    run. What a run that failed did not come to is null.
    """

    schema: str = SCHEMA
    nodes: int
    models: int
    ready: bool = False
    seconds_to_ready: float | None = None
    writes: dict[str, int] = {}
    writes_total: int = 0
    conflicts: int = 0
    refused: int = 0
    lost_updates: int | None = None
    manager_cpu_seconds: float = 0.0
    manager_peak_rss_bytes: int = 0
    api_server_cpu_seconds: float = 0.0
    request_bytes: dict[str, int] = {}
    idle_seconds: float = 0.0
    idle_writes: int | None = None
    idle_cpu_seconds: float | None = None
    after: dict[str, Phase] = {}
    smaller: list[Any] | msgspec.UnsetType = msgspec.UNSET
    growth: Growth | msgspec.UnsetType = msgspec.UNSET

    @property
    def whole(self) -> bool:
        """Whether everything that was asked for came to be, and nothing was lost."""
        return self.ready and all(phase.ready for phase in self.after.values()) and self.lost_updates == 0


def together(results: list[Result]) -> Result:
    """The largest run, with the smaller ones and the growth beside it."""
    first, *_ = ordered = sorted(results, key=lambda result: result.nodes)
    last = ordered[-1]
    if first is last:
        return last
    return msgspec.structs.replace(last, smaller=ordered[:-1], growth=growth(first, last))


def growth(small: Result, large: Result) -> Growth:
    seconds = None
    if small.seconds_to_ready and large.seconds_to_ready:
        seconds = _ratio(large.seconds_to_ready, small.seconds_to_ready)
    return Growth(
        nodes=_ratio(large.nodes, small.nodes),
        seconds=seconds,
        writes=_ratio(large.writes_total, small.writes_total),
        manager_cpu_seconds=_ratio(large.manager_cpu_seconds, small.manager_cpu_seconds),
    )


def _ratio(large: float, small: float) -> float:
    return round(large / small, 2) if small else 0.0


def lines_of(result: Result) -> Iterator[str]:
    """The result for a person."""
    until = f"all ready after {result.seconds_to_ready:.1f} s" if result.seconds_to_ready is not None else "not ready"
    yield f"{result.nodes} nodes x {result.models} models: {until}"
    yield f"  {result.writes_total} writes, {result.conflicts} of them conflicts, {result.refused} refused"
    yield from (f"    {count:>7} {kind}" for kind, count in result.writes.items())
    yield f"  manager: {result.manager_cpu_seconds:.1f} CPU s, {result.manager_peak_rss_bytes / 2**20:.0f} MiB at most"
    yield f"  API server: {result.api_server_cpu_seconds:.1f} CPU s"
    yield from (f"  {amount / 2**20:.1f} MiB of requests: {kind}" for kind, amount in result.request_bytes.items())
    if result.idle_writes is not None:
        cpu = f"{result.idle_cpu_seconds:.2f} CPU s"
        yield f"  idle for {result.idle_seconds:.0f} s: {result.idle_writes} writes, {cpu}"
    for name, phase in result.after.items():
        until = f"{phase.seconds:.1f} s" if phase.seconds is not None else "not done in time"
        kinds = ", ".join(f"{count} {kind}" for kind, count in phase.writes.items())
        yield f"  {name}: {until}, {phase.writes_total} writes, {phase.conflicts} conflicts: {kinds or 'none'}"
    if result.lost_updates is not None:
        yield f"  lost updates: {result.lost_updates}"


def growth_line(found: Growth) -> str:
    seconds = f"{found.seconds} times the time" if found.seconds is not None else "no time to compare"
    return (
        f"{found.nodes} times the nodes: {seconds}, {found.writes} times the writes, "
        f"{found.manager_cpu_seconds} times the manager's CPU seconds"
    )
