"""What a page can show of a long run: short spans are merged with their neighbours, points and ticks put into bins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from cachesim.simulation.timeline import CopySpan, DiskPoint, Timeline

# About 190 bytes each, title included: a page of them stays below 3 MB.
MARKS_MAX = 14_000
# Of all nodes together, about 12 bytes each.
POINTS_MAX = 60_000
POINTS_PER_NODE_MAX = 1_000
# No screen shows more columns at once; zoomed in, one may look this closely.
_COLUMNS = 20_000

T = TypeVar("T")


class MergedSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A span as it is drawn; `states` of a copy that alternated too fast to be drawn are counted, not told apart."""

    span: CopySpan
    states: int


def resolution_seconds(timeline: Timeline) -> float:
    """The shortest time that is drawn, so that the page does not grow beyond its limit."""
    resolution = timeline.end_seconds / _COLUMNS
    while _marks(timeline, resolution) > MARKS_MAX:
        resolution *= 2
    return resolution


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
