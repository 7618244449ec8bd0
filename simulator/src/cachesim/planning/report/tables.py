"""The numbers of a plan, as rows of text."""

from __future__ import annotations

from collections.abc import Sequence

from cachesim.planning.outcome import Picture, PlanOutcome, Point
from cachesim.planning.report.curves import names_of, waits_known
from cachesim.planning.report.words import (
    count,
    duration_range,
    ends_of,
    money,
    percent,
    shown_bytes,
    shown_rate,
    times,
)
from cachesim.simulation.report.clock import clock, lasting
from cachesim.simulation.report.tables import DASH, Table

_POINT_HEADS = (
    *("p50", "p95", "p99", "p99, 95 % interval", "hit ratio", "byte hit ratio", "fetched", "fetched, 95 % interval"),
    *("of it prefetched", "the best possible", "x of it", "95 % interval", "misses", "misses at best", "x of them"),
    *("evictions", "starts", "not ready", "replications"),
)
_COST_HEADS = ("cost", "disk", "egress", "GPUs waiting", "nodes")


def figures(point: Point) -> list[tuple[str, str]]:
    """The numbers of the recommended point that matter first: what, how much."""
    cold = point.cold_start_seconds
    return [
        *point.parameters.items(),
        ("cold start, p50", lasting(cold.p50)),
        ("p95", lasting(cold.p95)),
        ("p99", lasting(cold.p99)),
        *([("p99, 95 % interval", duration_range(cold.ci95))] if cold.ci95 else ()),
        ("hit ratio", percent(point.hit_ratio)),
        ("fetched", shown_bytes(point.bytes_fetched)),
        ("of the best possible", times(point.ratio_to_bound)),
        *([("cost", money(point.cost.total))] if point.cost else ()),
    ]


def points_table(outcome: PlanOutcome) -> Table:
    """All numbers of all points."""
    names = list(dict.fromkeys(name for point in outcome.points for name in point.parameters))
    costs = any(point.cost for point in outcome.points)
    heads = (*names, *_POINT_HEADS, *(_COST_HEADS if costs else ()), *(("meets",) if outcome.slo else ()))
    rows = []
    for point in outcome.points:
        row = [*(point.parameters.get(name, DASH) for name in names), *_numbers(point)]
        if costs:
            row += _costs(point)
        if outcome.slo:
            row.append(DASH if point.meets is None else "yes" if point.meets else "no")
        rows.append(tuple(row))
    return Table(title="All points", heads=heads, rows=tuple(rows))


def _numbers(point: Point) -> list[str]:
    cold = point.cold_start_seconds
    return [
        lasting(cold.p50),
        lasting(cold.p95),
        lasting(cold.p99),
        duration_range(cold.ci95),
        percent(point.hit_ratio),
        percent(point.byte_hit_ratio),
        shown_bytes(point.bytes_fetched),
        _bytes_interval(point),
        shown_bytes(point.prefetched_bytes),
        shown_bytes(point.bound_bytes),
        times(point.ratio_to_bound),
        ratio_interval(point),
        count(point.misses),
        count(point.bound_misses),
        times(point.miss_ratio_to_bound),
        count(point.evictions),
        count(point.starts),
        count(point.unready),
        f"{point.replications}",
    ]


def _costs(point: Point) -> list[str]:
    cost = point.cost
    if cost is None:
        return [DASH] * len(_COST_HEADS)
    return [money(part) for part in (cost.total, cost.disk, cost.egress, cost.gpu, cost.nodes)]


def tradeoff_table(points: Sequence[Point]) -> Table:
    """What the first charts draw."""
    names = list(dict.fromkeys(name for point in points for name in point.parameters))
    rows = tuple(
        (
            *(point.parameters.get(name, DASH) for name in names),
            lasting(point.cold_start_seconds.p99),
            duration_range(point.cold_start_seconds.ci95),
            shown_bytes(point.bytes_fetched),
            _bytes_interval(point),
            shown_bytes(point.bound_bytes),
        )
        for point in points
    )
    heads = (*names, "p99", "95 % interval", "fetched", "95 % interval", "the best possible")
    return Table(title="The numbers of these charts", heads=heads, rows=rows)


def policies_table(points: Sequence[Point]) -> Table:
    names = list(dict.fromkeys(name for point in points for name in point.parameters))
    rows = tuple(
        (
            *(point.parameters.get(name, DASH) for name in names),
            times(point.ratio_to_bound),
            ratio_interval(point),
            lasting(point.cold_start_seconds.p99),
            duration_range(point.cold_start_seconds.ci95),
        )
        for point in points
    )
    heads = (*names, "of the best possible", "95 % interval", "p99", "95 % interval")
    return Table(title="The numbers of these charts", heads=heads, rows=rows)


def distribution_table(pictures: Sequence[Picture]) -> Table:
    """A row for each share, a column for each picture."""
    columns = [dict(zip(picture.cold_starts, picture.cold_start_bins, strict=True)) for picture in pictures]
    shares = sorted({share for column in columns for share in column})
    rows = tuple(
        (percent(share), *(lasting(column[share]) if share in column else DASH for column in columns))
        for share in shares
    )
    return Table(
        title="The numbers of this chart",
        heads=("share of starts", *(f"at most, {n}" for n in names_of(pictures))),
        rows=rows,
    )


def story_table(picture: Picture) -> Table:
    """A row for each slice of time."""
    columns = [
        [DASH if seconds is None else lasting(seconds) for seconds in waits_known(picture)],
        [count(number) for number in picture.starts.values],
        [shown_rate(rate) for rate in picture.egress.values],
        [percent(share) for share in picture.disk_used_mean.values],
        [percent(share) for share in picture.disk_used_max.values],
    ]
    rows = tuple(
        (
            clock(index * picture.waits.step_seconds),
            *(column[index] if index < len(column) else DASH for column in columns),
        )
        for index in range(len(picture.waits.values))
    )
    heads = ("from", "p99 cold start", "starts", "egress", "disk use, mean", "disk use, fullest node")
    return Table(title="The numbers of these charts", heads=heads, rows=rows)


def heat_table(picture: Picture) -> Table:
    """A row for each node and moment, with what it held then: a column for each model would be mostly empty."""
    rows = tuple(
        (
            f"around {clock(seconds)}",
            node,
            ", ".join(
                f"{model} {percent(share)}"
                for model, share in zip(picture.heat_models, shares, strict=True)
                if share > 0
            )
            or DASH,
        )
        for seconds, table in zip(picture.heat_seconds, picture.heat, strict=True)
        for node, shares in zip(picture.heat_nodes, table, strict=True)
    )
    return Table(
        title="The numbers of these maps", heads=("when", "node", "models, and for how much of the time"), rows=rows
    )


def ratio_interval(point: Point) -> str:
    ends = ends_of(point.intervals.get("ratio_to_bound"))
    return DASH if ends is None else f"{ends[0]:.2f} to {times(ends[1])}"


def _bytes_interval(point: Point) -> str:
    ends = ends_of(point.intervals.get("bytes_fetched"))
    return DASH if ends is None else f"{shown_bytes(max(0.0, ends[0]))} to {shown_bytes(ends[1])}"
