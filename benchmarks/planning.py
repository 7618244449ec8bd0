"""How fast plans are: against the whole simulation, for a month of 200 nodes, for a log of a million requests.

python benchmarks/planning.py [--json FILE] [--requests N]
"""

from __future__ import annotations

import argparse
import csv
import json
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec
import numpy as np

from cachesim.planning.bound import bound
from cachesim.planning.log_starts import starts_of
from cachesim.planning.logs import read_requests
from cachesim.planning.outages import make_replay
from cachesim.planning.parameters import apply
from cachesim.planning.starts import Starts
from cachesim.planning.traffic import draw_starts
from cachesim.simulation.run import Options, simulate
from cachesim.simulation.scenario import Model, NodeGroup, Nodes, ObjectStorage, Scenario, Traffic
from cachesim.simulation.scenario_file import load_scenario

MONTH = pathlib.Path(__file__).parents[1] / "simulator" / "scenarios" / "planning" / "sizing.yaml"
DAY_SECONDS = 86400.0

T = TypeVar("T")


def against_the_simulation() -> dict[str, float]:
    """Both on the same starts; `ratio` is how many times faster the plan is."""
    traffic = Traffic(starts_per_hour=40, zipf=0.9, lifetime="5m", diurnal=0.5)
    scenario = Scenario(
        name="both",
        description="",
        duration="1d",
        nodes=Nodes(count=4, disk="64Gi"),
        group=NodeGroup(storage_limit="30Gi"),
        models=tuple(Model(name=f"model-{size}", size=f"{size}Gi") for size in range(3, 14)),
        traffic=traffic,
        storage=ObjectStorage(bandwidth="20Gbps"),
        housekeeping="quiet",
    )
    plan_seconds, _ = timed(lambda: make_replay(scenario, draw_starts(scenario, traffic, 1)).run())
    simulation_seconds, _ = timed(lambda: simulate(scenario, 1, Options(checks=False)))
    return {
        "plan_seconds": plan_seconds,
        "simulation_seconds": simulation_seconds,
        "ratio": simulation_seconds / plan_seconds,
    }


def month(policy: str) -> dict[str, float]:
    """One replay of the bundled month, and its bound."""
    scenario = apply(load_scenario(MONTH), {"policy": policy})
    starts = draw_starts(scenario, scenario.traffic or Traffic(starts_per_hour=1), 1)
    return replayed(scenario, starts)


def million(requests: int) -> dict[str, float]:
    """A log of so many pods of four minutes, read from CSV and replayed on the nodes of the bundled month."""
    scenario = load_scenario(MONTH)
    short = msgspec.structs.replace(scenario, traffic=Traffic(starts_per_hour=1, lifetime="4m"))
    chance = np.random.default_rng(1)
    seconds = np.sort(chance.uniform(0.0, 30 * DAY_SECONDS, requests))
    weights = 1.0 / np.arange(1, len(scenario.models) + 1)
    models = chance.choice(len(scenario.models), requests, p=weights / weights.sum())
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "requests.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["timestamp", "model"])
            writer.writerows(
                (f"{1_767_225_600 + moment:.3f}", scenario.models[model].name)
                for moment, model in zip(seconds, models, strict=True)
            )
        reading_seconds, read = timed(lambda: starts_of(read_requests(path), short))
    return {"reading_seconds": reading_seconds, **replayed(short, read[0])}


def replayed(scenario: Scenario, starts: Starts) -> dict[str, float]:
    replay_seconds, played = timed(lambda: make_replay(scenario, starts).run())
    bound_seconds, best = timed(lambda: bound(played))
    return {
        "starts": len(starts),
        "replay_seconds": replay_seconds,
        "bound_seconds": bound_seconds,
        "starts_per_second": len(starts) / replay_seconds,
        "ratio_to_bound": played.bytes_fetched / best.bytes_fetched,
    }


def timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="the figures (-: standard output)")
    parser.add_argument("--requests", type=int, default=1_000_000, help="of the log (default: 1000000)")
    arguments = parser.parse_args()
    figures = {
        "against_the_simulation": against_the_simulation(),
        **{f"month_{policy}": month(policy) for policy in ("LRU", "LRFU")},
        "log": million(arguments.requests),
    }
    text = json.dumps(figures, indent=2)
    if arguments.json and arguments.json != "-":
        pathlib.Path(arguments.json).write_text(text + "\n", encoding="utf-8")
    sys.stdout.write((text if arguments.json == "-" else _words(figures)) + "\n")
    return 0


def _words(figures: dict[str, dict[str, float]]) -> str:
    both, log = figures["against_the_simulation"], figures["log"]
    lines = [f"a plan is {both['ratio']:.0f} times faster than the simulation of the same starts"]
    lines += [
        f"{name}: {one['starts']:,.0f} starts in {one['replay_seconds']:.1f} s, bound in {one['bound_seconds']:.2f} s, "
        f"{one['ratio_to_bound']:.2f} x of the best possible"
        for name, one in figures.items()
        if name.startswith("month")
    ]
    lines.append(
        f"log: {log['starts']:,.0f} requests read in {log['reading_seconds']:.1f} s and replayed in "
        f"{log['replay_seconds']:.1f} s"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
