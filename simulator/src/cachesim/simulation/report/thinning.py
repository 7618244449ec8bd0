"""What a page can show of a long run: short spans are merged with their neighbours, points and ticks put into bins."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from cachesim.simulation.timeline import CopySpan, DiskPoint, NodeLane, Timeline

# About 190 bytes each, title included: a page of them stays below 3 MB.
MARKS_MAX = 16_000
# Of all nodes together, about 12 bytes each.
POINTS_MAX = 40_000
POINTS_PER_NODE_MAX = 1_000
# More lanes than that nobody reads; fewer of them can be drawn finely.
LANES_MAX = 60
_REFINEMENTS = 3
# No screen shows more columns at once; zoomed in, one may look this closely.
_COLUMNS = 20_000

T = TypeVar("T")


class MergedSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A span as it is drawn; `states` of a copy that alternated too fast to be drawn are counted, not told apart."""

    span: CopySpan
    states: int


def resolution_seconds(timeline: Timeline) -> float:
    """The shortest time that is drawn, so that the page does not grow beyond its limit."""
    enough = timeline.end_seconds / _COLUMNS
    if _marks(timeline, enough) <= MARKS_MAX:
        return enough
    too_fine = enough
    while enough < timeline.end_seconds and _marks(timeline, enough) > MARKS_MAX:
        too_fine, enough = enough, enough * 4
    for _ in range(_REFINEMENTS):
        middle = (too_fine + enough) / 2
        if _marks(timeline, middle) > MARKS_MAX:
            too_fine = middle
        else:
            enough = middle
    return enough


def most_telling(timeline: Timeline) -> Timeline:
    """The timeline with as many nodes as a person may read, in their order.

    Those with violations come first, then those with faults, then those with most evictions.
    """
    if len(timeline.nodes) <= LANES_MAX:
        return timeline
    evictions = collections.Counter(mark.node for mark in timeline.evictions)
    faults = collections.Counter(fault.node for fault in timeline.faults)
    violations = collections.Counter(found.node for found in timeline.violations)

    def interest(node: NodeLane) -> tuple[int, int, int]:
        return violations[node.name], faults[node.name], evictions[node.name]

    chosen = {node.name for node in sorted(timeline.nodes, key=interest, reverse=True)[:LANES_MAX]}
    return msgspec.structs.replace(
        timeline,
        nodes=tuple(node for node in timeline.nodes if node.name in chosen),
        pods=tuple(pod for pod in timeline.pods if pod.node in chosen),
        evictions=tuple(mark for mark in timeline.evictions if mark.node in chosen),
    )


def merge_spans(spans: Iterable[CopySpan], resolution: float) -> list[MergedSpan]:
    """The spans of one copy, in order. Short ones in a row become one, of the state that lasted longest."""
    merged: list[MergedSpan] = []
    short: list[CopySpan] = []

    def flush() -> None:
        if short:
            merged.append(_merge(short))
            short.clear()

    for span in spans:
        if short and span.begin_seconds - short[-1].end_seconds >= resolution:
            flush()
        if span.end_seconds - span.begin_seconds >= resolution:
            flush()
            merged.append(MergedSpan(span=span, states=1))
        else:
            short.append(span)
            if span.end_seconds - short[0].begin_seconds >= resolution:
                flush()
    flush()
    return merged


def bins(items: Iterable[T], seconds_of: Callable[[T], float], resolution: float) -> list[list[T]]:
    """The items in groups that lie closer together than the resolution, in order of time."""
    grouped: dict[int, list[T]] = {}
    for item in items:
        grouped.setdefault(int(seconds_of(item) // resolution) if resolution else 0, []).append(item)
    return [grouped[key] for key in sorted(grouped)]


def thin_points(points: Sequence[DiskPoint], end_seconds: float, count_max: int) -> list[DiskPoint]:
    """At most so many points; of each stretch of time its lowest and its highest, in their order."""
    if len(points) <= count_max:
        return list(points)
    stretch = end_seconds / (count_max // 2)
    kept: list[DiskPoint] = []
    for group in bins(points, lambda point: point.seconds, stretch):
        lowest = min(group, key=lambda point: point.used_bytes)
        highest = max(group, key=lambda point: point.used_bytes)
        kept += sorted({id(point): point for point in (lowest, highest)}.values(), key=lambda point: point.seconds)
    return kept


def points_per_node(nodes: int) -> int:
    return max(40, min(POINTS_PER_NODE_MAX, POINTS_MAX // max(1, nodes)))


def by_model(spans: Iterable[CopySpan]) -> dict[str, list[CopySpan]]:
    found: dict[str, list[CopySpan]] = {}
    for span in spans:
        found.setdefault(span.model, []).append(span)
    return found


def _marks(timeline: Timeline, resolution: float) -> int:
    spans = sum(
        len(merge_spans(of_model, resolution)) for node in timeline.nodes for of_model in by_model(node.copies).values()
    )
    ticks = {(pod.node, (pod.bound_seconds or 0.0) // resolution) for pod in timeline.pods} if resolution else set()
    evicted = {(mark.node, mark.model, mark.seconds // resolution) for mark in timeline.evictions} if resolution else ()
    return spans + len(ticks) + len(evicted)


def _merge(short: Sequence[CopySpan]) -> MergedSpan:
    lasted: dict[str, float] = {}
    for span in short:
        lasted[span.state] = lasted.get(span.state, 0.0) + span.end_seconds - span.begin_seconds
    longest = max(short, key=lambda span: lasted[span.state])
    span = CopySpan(
        model=longest.model,
        state=longest.state,
        begin_seconds=short[0].begin_seconds,
        end_seconds=short[-1].end_seconds,
    )
    return MergedSpan(span=span, states=len(short))
