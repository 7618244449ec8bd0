"""From a timeline to a drawing: the lanes of the nodes, and one for the cluster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from cachecore.quantity import format_bytes
from cachesim.simulation.report.clock import clock, lasting, tick_seconds
from cachesim.simulation.report.drawing import Area, Bar, Drawing, Flag, Label, Lane, Sign
from cachesim.simulation.report.thinning import (
    MergedSpan,
    bins,
    by_model,
    merge_spans,
    most_telling,
    points_per_node,
    resolution_seconds,
    thin_points,
)
from cachesim.simulation.timeline import EvictionMark, NodeLane, Outage, PodLife, Timeline

FLAG_HEIGHT = 18.0
ROW_HEIGHT = 15.0
PODS_HEIGHT = 14.0
DISK_HEIGHT = 54.0
MODEL_HEIGHT = 22.0
AXIS_HEIGHT = 18.0
# More rows than this, and copies share rows, named in the bars.
ROWS_MAX = 500
# A page lists and marks that many of each; a run that breaks more is broken.
FLAGS_MAX = 400

_BAR_SHAPES = {"in use": (2.0, 11.0), "held": (5.0, 5.0), "downloading": (2.0, 11.0), "evicting": (2.0, 11.0)}
# Labels of flags that are closer than this would lie on each other.
_LABEL_PERCENT = 3.0
_TEXT_PERCENT = 5.0


class Lanes:
    """Draws one timeline."""

    def __init__(self, whole: Timeline) -> None:
        timeline = self._timeline = most_telling(whole)
        self._nodes = len(whole.nodes)
        self._end = timeline.end_seconds or 1.0
        self._resolution = resolution_seconds(timeline)
        rows = sum(len({span.model for span in node.copies}) for node in timeline.nodes)
        self._packed = rows > ROWS_MAX
        self._points_max = points_per_node(len(timeline.nodes))
        self._pods: dict[str, list[PodLife]] = {}
        for pod in timeline.pods:
            self._pods.setdefault(pod.node, []).append(pod)
        self._evictions: dict[str, list[EvictionMark]] = {}
        for mark in timeline.evictions:
            self._evictions.setdefault(mark.node, []).append(mark)
        self._drawn = 0
        self._points_dropped = 0

    def draw(self) -> Drawing:
        lanes = (self._cluster_lane(), *(self._node_lane(node) for node in self._timeline.nodes))
        step = tick_seconds(self._end)
        ticks = [number * step for number in range(int(self._end // step) + 1)]
        return Drawing(
            lanes=lanes,
            ticks=tuple((self._percent(seconds), clock(seconds)) for seconds in ticks),
            end_seconds=self._timeline.end_seconds,
            thinned=tuple(self._thinned()),
        )

    def _cluster_lane(self) -> Lane:
        """Copies of each model, and whatever concerns no node alone."""
        top = FLAG_HEIGHT
        areas, labels = [], []
        nodes = max(1, self._nodes)
        for model in self._timeline.models:
            points = [(point.seconds, point.copies / nodes) for point in model.copies]
            labels.append(Label(top=top + 4, text=model.name))
            areas.append(
                Area(
                    top=top,
                    height=MODEL_HEIGHT - 4,
                    path=self._path(points, MODEL_HEIGHT - 4),
                    style="copies",
                    title=f"on how many of {nodes} nodes {model.name} was",
                    lines=((MODEL_HEIGHT - 4, "base"),),
                )
            )
            top += MODEL_HEIGHT
        flags = self._flags("", self._timeline.outages)
        return Lane(
            name="Cluster",
            note=f"on how many of {nodes} nodes each model was",
            height=top + AXIS_HEIGHT,
            troubled=bool(flags),
            labels=tuple(labels),
            bars=(),
            signs=(),
            flags=tuple(flags),
            areas=tuple(areas),
        )

    def _node_lane(self, node: NodeLane) -> Lane:
        spans = {model: merge_spans(found, self._resolution) for model, found in by_model(node.copies).items()}
        order = [model.name for model in self._timeline.models]
        names = sorted(spans, key=lambda name: (order.index(name) if name in order else len(order), name))
        rows = _packed(spans[name] for name in names) if self._packed else [spans[name] for name in names]
        top = FLAG_HEIGHT
        labels, bars, signs = [], [], []
        for row in rows:
            if not self._packed:
                labels.append(Label(top=top, text=row[0].span.model))
                signs += self._eviction_signs(node.name, row[0].span.model, top)
            bars += [self._bar(merged, top) for merged in row]
            top += ROW_HEIGHT
        if self._packed:
            signs += self._eviction_signs(node.name, "", top - ROW_HEIGHT)
        labels.append(Label(top=top, text="pods", style="faint"))
        signs += self._pod_signs(node.name, top)
        top += PODS_HEIGHT
        labels += self._disk_labels(top)
        area = self._disk_area(node, top)
        flags = self._flags(node.name, node.outages)
        evictions = len(self._evictions.get(node.name, ()))
        self._drawn += len(bars) + len(signs)
        return Lane(
            name=node.name,
            note=f"{evictions} eviction{'' if evictions == 1 else 's'}",
            height=top + DISK_HEIGHT + AXIS_HEIGHT,
            troubled=bool(flags),
            labels=tuple(labels),
            bars=tuple(bars),
            signs=tuple(signs),
            flags=tuple(flags),
            areas=(area,),
        )

    def _bar(self, merged: MergedSpan, top: float) -> Bar:
        span = merged.span
        offset, height = _BAR_SHAPES[span.state]
        duration = span.end_seconds - span.begin_seconds
        when = f"{clock(span.begin_seconds)} to {clock(span.end_seconds)} ({lasting(duration)})"
        alternating = f", alternating {merged.states} times" if merged.states > 1 else ""
        wide = self._packed and duration / self._end * 100 > _TEXT_PERCENT
        return Bar(
            left=self._percent(span.begin_seconds),
            width=self._percent(duration),
            top=top + offset,
            height=height,
            style=span.state.replace(" ", "-"),
            title=f"{span.model} {span.state}{alternating}: {when}",
            text=span.model if wide else "",
        )

    def _eviction_signs(self, node: str, model: str, top: float) -> list[Sign]:
        found = [mark for mark in self._evictions.get(node, ()) if not model or mark.model == model]
        return [
            Sign(
                left=self._percent(group[0].seconds),
                top=top + 2,
                style="evicted",
                title=f"{', '.join(dict.fromkeys(mark.model for mark in group))} evicted at {clock(group[0].seconds)}",
            )
            for group in bins(found, lambda mark: mark.seconds, self._resolution)
        ]

    def _pod_signs(self, node: str, top: float) -> list[Sign]:
        """Pods when they were bound; a miss stands out."""
        pods = [pod for pod in self._pods.get(node, ()) if pod.bound_seconds is not None]
        signs = []
        for group in bins(pods, lambda pod: pod.bound_seconds or 0.0, self._resolution):
            missed = [pod for pod in group if pod.hit is False]
            first = group[0]
            title = _pod_title(first) if len(group) == 1 else f"{len(group)} pods bound, {len(missed)} of them misses"
            style = "miss" if missed else "hit" if first.hit else "uncached"
            signs.append(Sign(left=self._percent(first.bound_seconds or 0.0), top=top + 2, style=style, title=title))
        return signs

    def _disk_labels(self, top: float) -> list[Label]:
        limit = self._timeline.limit_bytes
        return [
            Label(top=top - 1, text=f"disk {format_bytes(self._timeline.disk_bytes)}", style="faint"),
            Label(top=top + self._disk_y(limit) + 1, text=f"limit {format_bytes(limit)}", style="faint"),
        ]

    def _disk_area(self, node: NodeLane, top: float) -> Area:
        points = thin_points(node.disk, self._end, self._points_max)
        self._points_dropped += len(node.disk) - len(points)
        limit = self._timeline.limit_bytes
        disk_bytes = self._timeline.disk_bytes or 1
        peak = max((point.used_bytes for point in node.disk), default=0)
        return Area(
            top=top,
            height=DISK_HEIGHT,
            path=self._path([(point.seconds, point.used_bytes / disk_bytes) for point in points], DISK_HEIGHT),
            style="disk",
            title=f"disk of {node.name}: at most {format_bytes(peak)} of {format_bytes(disk_bytes)} used",
            lines=(
                (0.0, "base"),
                (self._disk_y(limit), "limit"),
                (self._disk_y(limit * self._timeline.high_watermark / 100), "watermark"),
                (self._disk_y(limit * self._timeline.low_watermark / 100), "watermark"),
                (DISK_HEIGHT, "base"),
            ),
        )

    def _disk_y(self, used_bytes: float) -> float:
        return round(DISK_HEIGHT * (1 - used_bytes / (self._timeline.disk_bytes or 1)), 1)

    def _flags(self, node: str, outages: Iterable[Outage]) -> list[Flag]:
        """Outages behind, then faults, then violations in front."""
        flags = [
            self._flag(outage.begin_seconds, outage.end_seconds, "", "", "outage", f"{outage.what} down")
            for outage in outages
        ]
        for number, fault in enumerate(self._timeline.faults[:FLAGS_MAX], 1):
            if fault.node == node:
                text = f"fault {number}: {fault.words}"
                flags.append(
                    self._flag(fault.begin_seconds, fault.end_seconds, f"F{number}", f"fault-{number}", "fault", text)
                )
        for number, found in enumerate(self._timeline.violations[:FLAGS_MAX], 1):
            if found.node == node:
                text = f"violation {number}, {found.invariant}: {found.message}"
                label = f"\N{MULTIPLICATION X}{found.invariant}"
                flags.append(self._flag(found.seconds, None, label, f"violation-{number}", "violation", text))
        return self._without_crowded_labels(flags)

    def _flag(self, begin: float, end: float | None, label: str, anchor: str, style: str, words: str) -> Flag:
        when = clock(begin) if end is None else f"{clock(begin)} to {clock(end)} ({lasting(end - begin)})"
        return Flag(
            left=self._percent(begin),
            width="" if end is None else self._percent(end - begin),
            label=label,
            anchor=anchor,
            style=style,
            title=f"{words}, {when}",
        )

    def _without_crowded_labels(self, flags: Sequence[Flag]) -> list[Flag]:
        """Violations keep their labels first; a label with another one just left of it goes."""
        taken: list[float] = []
        kept = []
        for flag in sorted(flags, key=lambda flag: flag.style != "violation"):
            left = float(flag.left)
            if flag.label and any(abs(left - other) < _LABEL_PERCENT for other in taken):
                kept.append(msgspec.structs.replace(flag, label=""))
                continue
            if flag.label:
                taken.append(left)
            kept.append(flag)
        return sorted(kept, key=lambda flag: ("outage", "fault", "violation").index(flag.style))

    def _path(self, points: Sequence[tuple[float, float]], height: float) -> str:
        """A step curve from shares of the height, closed at the bottom."""
        parts = [f"M0 {height:g}"]
        for seconds, share in points:
            parts.append(f"H{seconds / self._end * 1000:.1f}V{height * (1 - min(1.0, share)):.1f}")
        return "".join(parts) + f"H1000V{height:g}Z"

    def _percent(self, seconds: float) -> str:
        return f"{seconds / self._end * 100:.3f}".rstrip("0").rstrip(".")

    def _thinned(self) -> Iterable[str]:
        timeline = self._timeline
        if len(timeline.nodes) < self._nodes:
            yield (
                f"{len(timeline.nodes)} of {self._nodes} nodes have a lane: those with violations, then those with "
                "faults, then those with most evictions. The table has all."
            )
        whole = sum(len(node.copies) for node in timeline.nodes) + len(timeline.pods) + len(timeline.evictions)
        if self._drawn < whole:
            yield (
                f"What lasts less than {lasting(self._resolution)}, or lies closer together, is drawn as one: "
                f"{self._drawn} marks stand for {whole} states of copies, pods and evictions."
            )
        if self._points_dropped:
            most = self._points_max
            yield f"Disk use is drawn with at most {most} points per node, the least and most of each stretch."
        if self._packed:
            yield "Copies share rows; a bar's text or tooltip names the model."
        for name, found in (("faults", timeline.faults), ("violations", timeline.violations)):
            if len(found) > FLAGS_MAX:
                yield f"The first {FLAGS_MAX} of {len(found)} {name} are shown."


def _packed(rows: Iterable[Sequence[MergedSpan]]) -> list[list[MergedSpan]]:
    """All spans in as few rows as hold them without overlap, in order of time."""
    packed: list[list[MergedSpan]] = []
    for merged in sorted((span for row in rows for span in row), key=lambda merged: merged.span.begin_seconds):
        for row in packed:
            if row[-1].span.end_seconds <= merged.span.begin_seconds:
                row.append(merged)
                break
        else:
            packed.append([merged])
    return packed


def _pod_title(pod: PodLife) -> str:
    hit = {True: "a hit", False: "a miss", None: "not cached"}[pod.hit]
    ready = f"ready after {lasting(pod.ready_seconds - pod.created_seconds)}" if pod.ready_seconds else "never ready"
    return f"{pod.name} bound at {clock(pod.bound_seconds or 0.0)}: {hit}, {ready}"
