"""`localmodel simulate`: run a scenario in virtual time, with the production code, and check the invariants."""

from __future__ import annotations

import argparse
import logging
import pathlib
import sys

import msgspec

from cachecore.errors import InvalidInput
from cachecore.quantity import format_bytes
from cachesim.simulation.outcome import Outcome
from cachesim.simulation.scenario_file import load_scenario


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "simulate",
        help="run a scenario in virtual time and check the invariants",
        description="Run one scenario in virtual time, with the production services unmodified. "
        "Exit code 1 when an invariant was broken, 2 when the scenario is not valid.",
    )
    parser.add_argument("scenario", type=pathlib.Path, metavar="SCENARIO", help="a scenario file (YAML)")
    parser.add_argument("--seed", type=int, default=1, help="decides everything that is left to chance (default: 1)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the outcome as JSON")
    parser.add_argument("--verbose", action="store_true", help="show the log of the simulated services")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    # Imported late, so that the other commands start without the services.
    from cachesim.simulation.run import simulate

    # What the simulated services log is theirs: a person reads the outcome.
    logging.getLogger().setLevel(logging.INFO if arguments.verbose else logging.CRITICAL)
    try:
        scenario = load_scenario(arguments.scenario)
    except InvalidInput as error:
        print(f"localmodel simulate: {error}", file=sys.stderr)
        return 2
    outcome, last_lines = simulate(scenario, arguments.seed, _show_progress if sys.stderr.isatty() else None)
    if arguments.json is not None:
        try:
            arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(outcome), indent=2) + b"\n")
        except OSError as error:
            raise InvalidInput(f"{arguments.json}: cannot be written: {error.strerror}") from error
    print(describe(outcome))
    if not outcome.ok:
        print("\nThe last events:", *(f"  {line[:160]}" for line in last_lines), sep="\n")
        print(f"\nReplay it: localmodel simulate {arguments.scenario} --seed {arguments.seed}")
    return 0 if outcome.ok else 1


def describe(outcome: Outcome) -> str:
    """The outcome in words."""
    hours = outcome.virtual_seconds / 3600
    rate = outcome.events / outcome.wall_seconds if outcome.wall_seconds else 0.0
    starts = outcome.cold_starts
    lines = [
        f"scenario {outcome.scenario}, seed {outcome.seed}: {'ok' if outcome.ok else 'INVARIANTS BROKEN'}",
        f"  {hours:.1f} h of virtual time in {outcome.wall_seconds:.1f} s, {outcome.events} events ({rate:,.0f}/s)",
        f"  {starts.count} pod starts, {starts.hit_ratio:.1%} of them with their model already on the node",
        f"  from creation to ready: p50 {starts.p50_seconds:.1f} s, p99 {starts.p99_seconds:.1f} s",
        f"  {format_bytes(outcome.bytes_fetched)} fetched, {outcome.evictions} evictions",
        f"  event log {outcome.event_log_hash}",
    ]
    lines += [f"  {found.invariant} at {found.time:.3f} s: {found.message}" for found in outcome.violations]
    return "\n".join(lines)


def _show_progress(share: float, events: int) -> None:
    end = "\n" if share >= 1 else ""
    print(f"\r{share:4.0%} of virtual time, {events} events", end=end, file=sys.stderr, flush=True)
