"""What `localmodel plan` says: a table and a plot in the terminal, JSON, CSV, a page."""

from __future__ import annotations

import argparse
import csv
import io
import pathlib
import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from cachecore.errors import InvalidInput
from cachecore.quantity import format_bytes
from cachesim.planning.answering import Asked
from cachesim.planning.outcome import PlanOutcome, Point, summary
from cachesim.planning.pictures import draw
from cachesim.planning.report.words import compared
from cachesim.planning.slo import Objective

_BAR_WIDTH = 30
# A page with more pictures than this is searched, not read.
_PICTURES_MAX = 4


def check_outputs(arguments: argparse.Namespace) -> None:
    """Raises `InvalidInput` for a file that can't be written, before an hour of work is lost to it."""
    for path in (arguments.json, arguments.csv, arguments.report):
        if path is None or str(path) == "-":
            continue
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise InvalidInput(f"{path}: cannot be written: no such folder, or a folder itself")


def write(outcome: PlanOutcome, asked: Asked, arguments: argparse.Namespace) -> None:
    """JSON, CSV and page, as far as they are asked for. Raises `InvalidInput`."""
    if arguments.json is not None:
        content = msgspec.json.encode(outcome)
        if str(arguments.json) == "-":
            print(content.decode(), file=sys.__stdout__)
        else:
            save(arguments.json, msgspec.json.format(content, indent=2) + b"\n")
    if arguments.csv is not None:
        save(arguments.csv, as_csv(outcome).encode())
    if arguments.report is not None:
        from cachesim.planning.report.render import render

        pictures = [draw(asked.question, point.parameters) for point in _drawn(outcome)]
        save(arguments.report, render(outcome, pictures).encode())


def as_csv(outcome: PlanOutcome) -> str:
    """A row for each point: its parameters, then its numbers."""
    names = list(dict.fromkeys(name for point in outcome.points for name in point.parameters))
    rows = [{**point.parameters, **_numbers(point)} for point in outcome.points]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*names, *_numbers(outcome.points[0])], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def tell(outcome: PlanOutcome, objectives: Sequence[Objective]) -> None:
    """The table, the plot and the recommendation."""
    # Somebody who pipes it into a file wants all columns.
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    console.print(_table(outcome))
    for line in _plot(outcome.points):
        console.print(line, markup=False)
    for comparison in outcome.comparisons:
        console.print(compared(comparison), markup=False)
    for note in outcome.notes:
        console.print(f"note: {note}", markup=False)
    console.print(f"\n{outcome.recommendation.why}", markup=False)


def _table(outcome: PlanOutcome) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = list(dict.fromkeys(name for point in outcome.points for name in point.parameters))
    for name in names:
        table.add_column(name)
    for name in ("p50", "p95", "p99", "hits", "fetched", "of the best", "evictions", "unready", "runs"):
        table.add_column(name, justify="right")
    if outcome.prices:
        table.add_column("cost", justify="right")
    if outcome.slo:
        table.add_column("meets")
    for point in outcome.points:
        chosen = point.parameters == outcome.recommendation.parameters and len(outcome.points) > 1
        cells = [point.parameters.get(name, "") for name in names]
        table.add_row(*cells, *_cells(point, outcome), style="bold" if chosen else "")
    return table


def _cells(point: Point, outcome: PlanOutcome) -> list[str]:
    cold = point.cold_start_seconds
    width = "" if cold.ci95 is None else f" ±{(cold.ci95[1] - cold.ci95[0]) / 2:.1f}"
    cells = [f"{cold.p50:.1f} s", f"{cold.p95:.1f} s", f"{cold.p99:.1f}{width} s", f"{point.hit_ratio:.2%}"]
    cells.append(format_bytes(int(point.bytes_fetched)))
    cells.append("-" if point.ratio_to_bound is None else f"{point.ratio_to_bound:.2f} x")
    cells += [f"{point.evictions:,.0f}", f"{point.unready:,.0f}", str(point.replications)]
    if outcome.prices:
        cells.append(f"{point.cost.total:,.0f}" if point.cost else "-")
    if outcome.slo:
        cells.append("yes" if point.meets else "no")
    return cells


def _plot(points: Sequence[Point]) -> list[str]:
    """The p99 and the bytes of each point as bars, when there are several."""
    if len(points) < 2:
        return []
    seconds = [point.cold_start_seconds.p99 for point in points]
    fetched = [point.bytes_fetched for point in points]
    names = [summary(point.parameters) for point in points]
    lines = ["", "p99 cold start", *_bars(names, seconds, [f"{value:.1f} s" for value in seconds])]
    return [*lines, "", "fetched", *_bars(names, fetched, [format_bytes(int(value)) for value in fetched]), ""]


def _bars(names: Sequence[str], values: Sequence[float], shown: Sequence[str]) -> list[str]:
    most = max(values) or 1.0
    width = max(map(len, names))
    return [
        f"  {name:<{width}}  {'█' * max(1, round(value / most * _BAR_WIDTH))} {text}"
        for name, value, text in zip(names, values, shown, strict=True)
    ]


def _numbers(point: Point) -> dict[str, object]:
    cold = point.cold_start_seconds
    low, high = cold.ci95 or (None, None)
    return {
        "cold_start_p50_seconds": cold.p50,
        "cold_start_p95_seconds": cold.p95,
        "cold_start_p99_seconds": cold.p99,
        "cold_start_p99_low_seconds": low,
        "cold_start_p99_high_seconds": high,
        "hit_ratio": point.hit_ratio,
        "byte_hit_ratio": point.byte_hit_ratio,
        "bytes_fetched": point.bytes_fetched,
        "prefetched_bytes": point.prefetched_bytes,
        "bound_bytes": point.bound_bytes,
        "ratio_to_bound": point.ratio_to_bound,
        "misses": point.misses,
        "bound_misses": point.bound_misses,
        "evictions": point.evictions,
        "unready": point.unready,
        "starts": point.starts,
        "replications": point.replications,
        "cost": point.cost.total if point.cost else None,
        "meets": point.meets,
    }


def _drawn(outcome: PlanOutcome) -> list[Point]:
    """The recommended point first, then those that differ from it in their policy alone, then the first ones."""
    chosen = outcome.recommendation.parameters

    def distance(point: Point) -> int:
        return sum(point.parameters.get(name) != value for name, value in chosen.items() if name != "policy")

    ordered = sorted(outcome.points, key=lambda point: (point.parameters != chosen, distance(point)))
    return ordered[:_PICTURES_MAX]


def save(path: pathlib.Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written: {error.strerror}") from error
