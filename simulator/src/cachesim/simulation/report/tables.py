"""The numbers of a run, as rows of text."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cachecore.quantity import format_bytes
from cachesim.simulation.outcome import Outcome, percentile
from cachesim.simulation.report.clock import clock, lasting
from cachesim.simulation.report.lanes import FLAGS_MAX
from cachesim.simulation.timeline import PodLife, Timeline

DASH = "\N{EN DASH}"


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """`anchors`: per row, the flag in the chart that it tells of, or ""."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    anchors: tuple[str, ...] = ()


def key_figures(outcome: Outcome) -> list[tuple[str, str]]:
    """The outcome's numbers: what, how much."""
    starts = outcome.cold_starts
    measured = [
        ("with the model there", f"{starts.hit_ratio:.1%}"),
        ("start, p50", f"{starts.p50_seconds:.1f} s"),
        ("start, p99", f"{starts.p99_seconds:.1f} s"),
    ]
    return [
        ("virtual time", lasting(outcome.virtual_seconds)),
        # Of the scenario's traffic; pods of a story are in the tables.
        ("pod starts of traffic", f"{starts.count:,}"),
        *(measured if starts.count else ()),
        ("fetched", format_bytes(outcome.bytes_fetched)),
        ("evictions", f"{outcome.evictions:,}"),
        ("events", f"{outcome.events:,}"),
    ]


def violations_table(timeline: Timeline) -> Table:
    shown = timeline.violations[:FLAGS_MAX]
    return Table(
        title="Violations",
        heads=("", "invariant", "time", "seconds", "node", "what was found"),
        rows=tuple(
            (
                f"\N{MULTIPLICATION X}{number}",
                found.invariant,
                clock(found.seconds),
                f"{found.seconds:.3f}",
                found.node or DASH,
                found.message,
            )
            for number, found in enumerate(shown, 1)
        ),
        anchors=tuple(f"violation-{number}" for number in range(1, len(shown) + 1)),
    )


def faults_table(timeline: Timeline) -> Table:
    shown = timeline.faults[:FLAGS_MAX]
    return Table(
        title="Faults",
        heads=("", "begin", "end", "seconds", "node", "what"),
        rows=tuple(
            (
                f"F{number}",
                clock(fault.begin_seconds),
                DASH if fault.end_seconds is None else clock(fault.end_seconds),
                f"{fault.begin_seconds:.3f}",
                fault.node or DASH,
                fault.words,
            )
            for number, fault in enumerate(shown, 1)
        ),
        anchors=tuple(f"fault-{number}" for number in range(1, len(shown) + 1)),
    )


def nodes_table(timeline: Timeline) -> Table:
    rows = []
    pods = _grouped(timeline.pods, "node")
    for node in timeline.nodes:
        of_node = pods.get(node.name, [])
        downloads = [item for item in timeline.downloads if item.node == node.name]
        peak = max((point.used_bytes for point in node.disk), default=0)
        down = sum(outage.end_seconds - outage.begin_seconds for outage in node.outages if outage.what == "agent")
        rows.append(
            (
                node.name,
                f"{sum(item.ended == 'published' for item in downloads):,}",
                f"{sum(item.ended != 'published' for item in downloads):,}",
                f"{sum(mark.node == node.name for mark in timeline.evictions):,}",
                format_bytes(peak),
                f"{peak / timeline.limit_bytes:.0%}" if timeline.limit_bytes else DASH,
                lasting(down) if down else DASH,
                f"{len(of_node):,}",
                _hit_ratio(of_node),
            )
        )
    heads = (
        *("node", "downloads", "not finished", "evictions"),
        *("most used", "of the limit", "agent down", "pods", "hits"),
    )
    return Table(title="Nodes", heads=heads, rows=tuple(rows))


def models_table(timeline: Timeline) -> Table:
    rows = []
    pods = _grouped(timeline.pods, "model")
    for model in timeline.models:
        of_model = pods.get(model.name, [])
        downloads = [item for item in timeline.downloads if item.model == model.name]
        durations = [item.end_seconds - item.begin_seconds for item in downloads if item.ended == "published"]
        starts = [pod.ready_seconds - pod.created_seconds for pod in of_model if pod.ready_seconds is not None]
        rows.append(
            (
                model.name,
                format_bytes(model.size_bytes),
                f"{_copies_at_end(timeline, model.name)}",
                f"{len(durations):,}",
                f"{len(downloads) - len(durations):,}",
                lasting(percentile(durations, 50)) if durations else DASH,
                f"{sum(mark.model == model.name for mark in timeline.evictions):,}",
                f"{len(of_model):,}",
                _hit_ratio(of_model),
                lasting(percentile(starts, 50)) if starts else DASH,
                lasting(percentile(starts, 99)) if starts else DASH,
            )
        )
    heads = (
        *("model", "size", "copies at the end", "downloads", "not finished", "download, p50"),
        *("evictions", "pods", "hits", "start, p50", "start, p99"),
    )
    return Table(title="Models", heads=heads, rows=tuple(rows))


def _copies_at_end(timeline: Timeline, model: str) -> int:
    return sum(
        span.model == model and span.end_seconds == timeline.end_seconds and span.state in ("held", "in use")
        for node in timeline.nodes
        for span in node.copies
    )


def _hit_ratio(pods: Iterable[PodLife]) -> str:
    hits = [pod.hit for pod in pods if pod.hit is not None]
    return f"{sum(hits) / len(hits):.1%}" if hits else DASH


def _grouped(pods: Iterable[PodLife], field: str) -> dict[str, list[PodLife]]:
    found: dict[str, list[PodLife]] = {}
    for pod in pods:
        found.setdefault(getattr(pod, field), []).append(pod)
    return found
