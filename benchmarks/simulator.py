"""How fast the simulator is: SimPy events a second, beside SimPy's own rate; a month of a fleet; one fault plan.

python benchmarks/simulator.py [--nodes 3,100,1000] [--days 30] [--json FILE]
"""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import msgspec
import simpy

from cachecore.errors import InvalidInput, LocalModelError
from cachesim.campaign.campaign import make_plans
from cachesim.campaign.runner import run_plan
from cachesim.cluster import SimulatedCluster
from cachesim.simulation.outcome import Outcome
from cachesim.simulation.run import simulate
from cachesim.simulation.scenario import Model, NodeGroup, Nodes, ObjectStorage, Scenario, Traffic
from cachesim.simulation.scenario_file import load_scenario
from cachesim.simulation.seeds import SeedRange

_LIMIT_EVENTS = 200_000
_LIMIT_PROCESSES = 10_000
_MINUTES = {3: 60, 100: 15}
_MINUTES_OF_MANY = 5
_PLANS = 40
_REFERENCE = Path(__file__).parents[1] / "simulator" / "scenarios" / "reference.yaml"


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """SimPy events and the core-seconds that they took. The limit is SimPy's own rate with as many processes."""

    nodes: int
    virtual_seconds: float
    events: int
    core_seconds: float
    events_per_second: float
    share_of_limit: float
    ok: bool


class Month(msgspec.Struct, frozen=True, kw_only=True):
    nodes: int
    days: float
    pod_starts: int
    events: int
    wall_seconds: float
    core_seconds: float
    ok: bool


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """`limit_*` is SimPy alone: one process that waits again and again, and ten thousand coroutines that do."""

    schema: str = "localmodel.simulator_speed/v1"
    limit_timeouts_per_second: float
    limit_processes_per_second: float
    rates: list[Rate]
    month: Month | None
    plan_core_seconds: float


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One run, and what it took."""

    outcome: Outcome
    events: int
    wall_seconds: float
    core_seconds: float


def limit_per_second(processes: int, events: int = _LIMIT_EVENTS) -> float:
    """How many events SimPy alone gets through in a core-second."""

    def wait(environment: simpy.Environment, times: int) -> Generator[simpy.Event, None, None]:
        for _ in range(times):
            yield environment.timeout(1)

    environment = simpy.Environment()
    for _ in range(processes):
        environment.process(wait(environment, max(1, events // processes)))
    began = time.process_time()
    environment.run()
    return processes * max(1, events // processes) / (time.process_time() - began)


def measure(scenario: Scenario) -> Measured:
    """Run the scenario once. Every event that SimPy was given is counted, timers that nobody waits for any more too."""
    clusters: list[SimulatedCluster] = []
    began, core_began = time.perf_counter(), time.process_time()
    run = simulate(scenario, 1, observe=clusters.append)
    core_seconds, wall_seconds = time.process_time() - core_began, time.perf_counter() - began
    # SimPy numbers its events; the next number is how many there have been.
    events = next(clusters[0].environment._eid)
    return Measured(outcome=run.outcome, events=events, wall_seconds=wall_seconds, core_seconds=core_seconds)


def fleet(nodes: int, minutes: float) -> Scenario:
    """Twenty models on a fleet, heartbeats and all, and a pod each ten seconds for each ten nodes."""
    return Scenario(
        name=f"{nodes} nodes",
        description="The speed of the simulator",
        duration=f"{minutes:g}m",
        nodes=Nodes(count=nodes, disk="500Gi", network="25Gbps"),
        group=NodeGroup(storage_limit="400Gi"),
        models=_models(20, copies=min(nodes, 10)),
        traffic=Traffic(starts_per_hour=max(60.0, 3.6 * nodes)),
        storage=ObjectStorage(bandwidth="2000Gbps"),
    )


def month(nodes: int, days: float) -> Scenario:
    """A hundred models on a fleet that rests while nothing happens; 14 pods an hour are 10,000 in 30 days."""
    return Scenario(
        name="month",
        description="The speed of the simulator",
        duration=f"{days:g}d",
        housekeeping="quiet",
        nodes=Nodes(count=nodes, disk="500Gi", network="25Gbps"),
        group=NodeGroup(storage_limit="400Gi"),
        models=_models(100, copies=min(nodes, 2)),
        traffic=Traffic(starts_per_hour=14.0, lifetime="30m"),
        storage=ObjectStorage(bandwidth="2000Gbps"),
        part_size="16Gi",
    )


def _models(count: int, *, copies: int) -> tuple[Model, ...]:
    sizes = ("2Gi", "4Gi", "8Gi", "16Gi")
    return tuple(
        Model(name=f"model-{number}", size=sizes[number % 4], files=1 + number % 4, copies=copies)
        for number in range(1, count + 1)
    )


def plan_core_seconds(plans: int) -> float:
    """What the mean of so many random fault plans of the reference story takes, as a campaign runs them."""
    scenario = load_scenario(_REFERENCE)
    drawn = make_plans(scenario, SeedRange(1, plans + 1), "random")
    # The first run of a process compiles schemas, and is not what a campaign consists of.
    run_plan(scenario, drawn[0])
    gc.collect()
    gc.freeze()
    began = time.process_time()
    for plan in drawn[1:]:
        run_plan(scenario, plan)
    return (time.process_time() - began) / plans


def rate_of(nodes: int, minutes: float) -> Rate:
    measured = measure(fleet(nodes, minutes))
    # A machine is not always equally fast: the limit is taken beside each run.
    limit = limit_per_second(min(10 * nodes, _LIMIT_PROCESSES))
    per_second = measured.events / measured.core_seconds
    return Rate(
        nodes=nodes,
        virtual_seconds=measured.outcome.virtual_seconds,
        events=measured.events,
        core_seconds=round(measured.core_seconds, 2),
        events_per_second=round(per_second),
        share_of_limit=round(per_second / limit, 4),
        ok=measured.outcome.ok,
    )


def month_of(nodes: int, days: float) -> Month:
    measured = measure(month(nodes, days))
    return Month(
        nodes=nodes,
        days=days,
        pod_starts=measured.outcome.cold_starts.count,
        events=measured.events,
        wall_seconds=round(measured.wall_seconds, 2),
        core_seconds=round(measured.core_seconds, 2),
        ok=measured.outcome.ok,
    )


def run(sizes: Sequence[int], minutes: float | None, fleet_nodes: int, days: float, plans: int) -> Result:
    plan_seconds = plan_core_seconds(plans)
    return Result(
        limit_timeouts_per_second=round(limit_per_second(1)),
        limit_processes_per_second=round(limit_per_second(_LIMIT_PROCESSES)),
        rates=[rate_of(nodes, minutes or _MINUTES.get(nodes, _MINUTES_OF_MANY)) for nodes in sizes],
        month=month_of(fleet_nodes, days) if days else None,
        plan_core_seconds=round(plan_seconds, 3),
    )


def lines_of(result: Result) -> list[str]:
    timeouts, processes = result.limit_timeouts_per_second, result.limit_processes_per_second
    lines = [f"SimPy alone: {timeouts:,.0f} timeouts/s, {processes:,.0f} events/s with {_LIMIT_PROCESSES:,} processes"]
    lines += [
        f"{one.nodes:,} nodes: {one.events:,} events in {one.core_seconds:.1f} core-seconds, "
        f"{one.events_per_second:,.0f}/s, {one.share_of_limit:.1%} of the limit{'' if one.ok else ', NOT OK'}"
        for one in result.rates
    ]
    if result.month is not None:
        one = result.month
        lines.append(
            f"{one.nodes} nodes, {one.days:g} days, {one.pod_starts:,} pods: {one.wall_seconds:.1f} s, "
            f"{one.events:,} events{'' if one.ok else ', NOT OK'}"
        )
    return [*lines, f"one fault plan of the reference story: {result.plan_core_seconds:.3f} core-seconds"]


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(prog="simulator", description="Measures how fast the simulator is, on one core.")
    flags.add_argument("--nodes", default="3,100,1000", metavar="N[,N]", help="sizes of the fleet (3,100,1000)")
    flags.add_argument("--minutes", type=float, metavar="X", help="of virtual time for each (60, 15 and 5)")
    flags.add_argument("--month-nodes", type=int, default=200, metavar="N", help="of the long run (200)")
    flags.add_argument("--days", type=float, default=30.0, metavar="X", help="of the long run; 0 leaves it out (30)")
    flags.add_argument("--plans", type=int, default=_PLANS, metavar="N", help=f"of the reference story ({_PLANS})")
    flags.add_argument("--json", default="", metavar="FILE", help="where to write the result")
    return flags


def sizes_of(text: str) -> list[int]:
    """Raises `InvalidInput`."""
    sizes = [size.strip() for size in text.split(",")]
    if not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise InvalidInput(f"--nodes {text}: must be numbers of nodes, such as 3,100,1000")
    return [int(size) for size in sizes]


def main(arguments: Sequence[str] | None = None) -> int:
    flags = parser().parse_args(arguments)
    try:
        sizes = sizes_of(flags.nodes)
        if flags.days < 0 or flags.plans < 1 or flags.month_nodes < 1 or (flags.minutes or 1.0) <= 0:
            raise InvalidInput("--days is not below 0, and --minutes, --month-nodes and --plans are more than 0")
        result = run(sizes, flags.minutes, flags.month_nodes, flags.days, flags.plans)
    except LocalModelError as error:
        sys.stderr.write(f"simulator: {error}\n")
        return 2 if isinstance(error, InvalidInput) else 1
    except KeyboardInterrupt:
        sys.stderr.write("simulator: stopped\n")
        return 130
    sys.stdout.write("".join(f"{line}\n" for line in lines_of(result)))
    if flags.json:
        Path(flags.json).write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    return 0


if __name__ == "__main__":
    # Faults are logged, and logging is not what is measured.
    logging.getLogger().setLevel(logging.CRITICAL)
    sys.exit(main())
