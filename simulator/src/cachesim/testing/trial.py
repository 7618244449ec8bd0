"""One campaign against production code with one wrong change in it: `python -m cachesim.testing.trial CHANGE.yaml`.

A process of its own, because the change is made as its module is imported. It prints one line of JSON: which invariants
broke first, in which of the plans, and with which faults; none when the campaign came to its end. The first plan is the
story without faults, then come those that are drawn, from the change's `seed` on. With `-` instead of a change the code
is as it is, and the plans are read from standard input: so one sees that it is the mistake which they find.
"""

from __future__ import annotations

import argparse
import logging
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from cachesim.testing.rewriting import rewrite_at_import
from cachesim.testing.wrong_change import WrongChange, load_change

if TYPE_CHECKING:
    from cachesim.campaign.plans import Plan
    from cachesim.campaign.runner import Result
    from cachesim.simulation.scenario import Scenario

REFERENCE = pathlib.Path(__file__).parents[3] / "scenarios" / "reference.yaml"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign came to. `plans` is how many were run, the one that failed included; `faults` are those of it."""

    change: str
    invariants: tuple[str, ...] = ()
    message: str = ""
    plans: int
    seed: int = 0
    scenario: str = ""
    faults: list[dict[str, object]] = []
    seconds: float


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """A plan to run on code that is as it is."""

    change: str
    scenario: str
    seed: int
    faults: list[dict[str, object]]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m cachesim.testing.trial", description=__doc__)
    parser.add_argument("change", metavar="CHANGE", help="a wrong change (YAML), or - for none")
    parser.add_argument("--seed", type=int, help="draw the plans from here on (default: what the change says)")
    parser.add_argument("--plans", type=int, help="how many plans are run at most (default: what the change says)")
    given = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    if given.change == "-":
        for replay in msgspec.json.decode(sys.stdin.buffer.read(), type=list[Replay]):
            _show(_replayed(replay))
        return 0
    path = pathlib.Path(given.change)
    change = load_change(path)
    rewrite_at_import(change.module, change.apply)
    given_fields = {name: value for name in ("seed", "plans") if (value := getattr(given, name)) is not None}
    _show(_tried(path, msgspec.structs.replace(change, **given_fields)))
    return 0


def _show(verdict: Verdict) -> None:
    sys.stdout.write(f"{msgspec.json.encode(verdict).decode()}\n")
    sys.stdout.flush()


def _tried(path: pathlib.Path, change: WrongChange) -> Verdict:
    # Imported late: by now the change is in place.
    from cachesim.campaign.runner import run_plan
    from cachesim.simulation.scenario_file import load_scenario

    began = time.perf_counter()
    scenario_path = path.parent / change.scenario if change.scenario else REFERENCE
    scenario = load_scenario(scenario_path)
    done = 0
    for plan in _plans(path, change, scenario):
        result = run_plan(scenario, plan, done)
        done += 1
        if result.violations:
            return _verdict(path.stem, str(scenario_path), result, done, began)
        if done == change.plans:
            break
    return Verdict(change=path.stem, plans=done, seconds=round(time.perf_counter() - began, 3))


def _plans(path: pathlib.Path, change: WrongChange, scenario: Scenario) -> Iterator[Plan]:
    from cachesim.campaign.campaign import make_plans
    from cachesim.campaign.plans import Plan
    from cachesim.simulation.scenario_file import load_plan
    from cachesim.simulation.seeds import SeedRange

    seeds = SeedRange(change.seed, change.seed + change.plans - 1)
    if change.faults == "none":
        yield from make_plans(scenario, seeds, None)
    elif change.faults == "random":
        yield Plan(seed=change.seed, faults=())
        yield from make_plans(scenario, seeds, "random")
    else:
        yield from make_plans(scenario, seeds, load_plan(path.parent / change.faults, scenario))


def _replayed(replay: Replay) -> Verdict:
    from cachesim.campaign.plans import Plan
    from cachesim.campaign.runner import run_plan
    from cachesim.faults.plan import Fault
    from cachesim.simulation.scenario_file import load_scenario

    began = time.perf_counter()
    faults = tuple(msgspec.convert(fault, Fault) for fault in replay.faults)
    result = run_plan(load_scenario(pathlib.Path(replay.scenario)), Plan(seed=replay.seed, faults=faults))
    return _verdict(replay.change, replay.scenario, result, 1, began)


def _verdict(change: str, scenario: str, result: Result, plans: int, began: float) -> Verdict:
    """What a plan has shown, the last of so many."""
    return Verdict(
        change=change,
        invariants=tuple(dict.fromkeys(violation.invariant for violation in result.violations)),
        message=result.violations[0].message if result.violations else "",
        plans=plans,
        seed=result.plan.seed,
        scenario=scenario,
        faults=[msgspec.to_builtins(fault) for fault in result.plan.faults],
        seconds=round(time.perf_counter() - began, 3),
    )


if __name__ == "__main__":
    sys.exit(main())
