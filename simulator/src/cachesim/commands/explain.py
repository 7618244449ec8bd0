"""`localmodel explain`: why a planned run evicted what it did, what that cost later, and what would go next."""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import sys
from typing import TYPE_CHECKING

import msgspec

from cachecore.errors import InvalidInput
from cachecore.quantity import format_bytes
from cachesim.simulation.report.clock import clock, lasting

if TYPE_CHECKING:
    from cachesim.planning.explaining import Explained, Explanation

_CANDIDATES_SHOWN = 12
_NEXT_SHOWN = 5
_NODES_SHOWN = 10


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "explain",
        help="why a planned run evicted what it did, and what that cost later",
        description="Replay one point of a plan, and explain its evictions: the ranking, what was needed, the later "
        "miss that each caused, and what would go next. Those whose misses waited longest come first.",
    )
    parser.add_argument("scenario", type=pathlib.Path, metavar="SCENARIO", help="a scenario file (YAML)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="K=V", help="a parameter, as --vary of plan has it"
    )
    parser.add_argument("--log", type=pathlib.Path, nargs="+", metavar="FILE", help="requests, as for plan")
    parser.add_argument("--ignore-unknown", action="store_true", help="leave out requests of models without a size")
    parser.add_argument(
        "--faults", type=pathlib.Path, metavar="PLAN", help="what goes wrong, instead of its own faults"
    )
    parser.add_argument("--seed", type=int, default=1, help="the seed of the plan (default: 1)")
    parser.add_argument("--node", default="", help="evictions of this node alone")
    parser.add_argument("--model", default="", help="evictions of this model alone")
    parser.add_argument("--count", type=int, default=5, help="explain so many (default: 5)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write it as JSON (-: standard output)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    try:
        if str(arguments.json) == "-":
            with contextlib.redirect_stdout(sys.stderr):
                return _run(arguments)
        return _run(arguments)
    except InvalidInput as error:
        print(f"localmodel explain: {error}", file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace) -> int:
    # Imported late: numpy and scipy take longer than the other commands.
    from cachesim.commands.plan_input import make_question
    from cachesim.commands.plan_output import check_outputs, save
    from cachesim.planning.explaining import Wanted, explain

    if arguments.count < 1:
        raise InvalidInput("--count: at least one is needed")
    given = argparse.Namespace(
        **vars(arguments),
        vary=[text.replace(",", "+") if text.startswith("pinned=") else text for text in arguments.set],
        find=None,
        slo=[],
        price=None,
        from_cluster=False,
        kubeconfig=None,
        replications=1,
        precision=0.1,
        jobs=1,
        csv=None,
        report=None,
    )
    check_outputs(given)
    asked, notes = make_question(given)
    points = asked.grid()
    if len(points) > 1:
        raise InvalidInput("--set: one value for each parameter; one point is explained at a time")
    scenario = asked.question.scenario_at(points[0])
    if arguments.node and arguments.node not in scenario.node_names():
        raise InvalidInput(f"--node {arguments.node}: the scenario has node-1 to node-{scenario.nodes.count}")
    if arguments.model and arguments.model not in [model.name for model in scenario.models]:
        raise InvalidInput(f"--model {arguments.model}: the scenario has no such model")
    wanted = Wanted(node=arguments.node, model=arguments.model, count=arguments.count)
    explained = explain(asked.question, points[0], wanted)
    if arguments.json is not None:
        content = msgspec.json.encode(explained)
        if str(arguments.json) == "-":
            print(content.decode(), file=sys.__stdout__)
        else:
            save(arguments.json, msgspec.json.format(content, indent=2) + b"\n")
    print(describe(explained))
    for note in notes:
        print(f"note: {note}")
    return 0


def describe(explained: Explained) -> str:
    """The explanations in words."""
    waited = lasting(explained.regret_seconds)
    lines = [
        f"{explained.evictions} evictions; after {explained.regretted} of them a pod missed, which waited {waited}"
    ]
    for one in explained.explanations:
        lines += ["", *_described(one)]
    shown = [one for one in explained.next if one.models][:_NODES_SHOWN]
    if shown:
        lines += ["", "At the end these would go next:"]
        lines += [f"  {one.node}: {', '.join(one.models[:_NEXT_SHOWN])}" for one in shown]
    left = len(explained.next) - len(shown)
    if left > 0:
        lines.append(f"  {left} nodes more: ask for one with --node")
    return "\n".join(lines)


def _described(one: Explanation) -> list[str]:
    held, wanted, limit = (format_bytes(size) for size in (one.held_bytes, one.wanted_bytes, one.limit_bytes))
    lines = [
        f"{clock(one.seconds)} {one.node}: {one.model} ({format_bytes(one.size_bytes)}) evicted, {one.reason}",
        f"  {one.message}",
        f"  {held} held and {wanted} wanted, of {limit}; it ranked {one.rank} of {max(i.rank for i in one.candidates)}",
    ]
    # Those around the line between what stays and what goes say most.
    shown = one.candidates if len(one.candidates) <= _CANDIDATES_SHOWN else one.candidates[-_CANDIDATES_SHOWN:]
    if len(shown) < len(one.candidates):
        lines.append(f"    {len(one.candidates) - len(shown)} that rank higher are left out")
    for item in shown:
        size = format_bytes(item.size_bytes)
        lines.append(f"    {item.rank:>3}  {item.model:<24} {size:>10}  value {item.value:<12.6g} {item.fate}")
    if one.regret is None:
        lines.append("  no pod of it missed on that node afterwards: no regret")
    else:
        later = one.regret.seconds - one.seconds
        lines.append(
            f"  regret: {lasting(later)} later, at {clock(one.regret.seconds)}, a pod of it missed there and waited "
            f"{lasting(one.regret.wait_seconds)}"
        )
    return lines
