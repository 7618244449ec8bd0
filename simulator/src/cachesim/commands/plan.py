"""`localmodel plan`: capacity planning with the production policy, and how far from the best possible it is."""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import sys
import time

import msgspec

from cachecore.errors import InvalidInput

# What a shell answers for a command that Ctrl-C ended.
_EXIT_INTERRUPTED = 130


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "plan",
        help="plan disks, nodes and policies, and see how far from the best possible they are",
        description="Replay a scenario's traffic, or a log of requests, against the production policy, for each "
        "combination of what is varied. Exit code 1 when nothing meets --slo, 2 when an input is not valid.",
    )
    parser.add_argument("scenario", type=pathlib.Path, nargs="?", metavar="SCENARIO", help="a scenario file (YAML)")
    source = parser.add_argument_group("what is replayed")
    source.add_argument(
        "--log",
        type=pathlib.Path,
        nargs="+",
        metavar="FILE",
        help="requests instead of the scenario's traffic: CSV, JSONL or Parquet with timestamp, model, and if you have "
        "them node and duration; or the agents' own JSON logs (.log)",
    )
    source.add_argument("--ignore-unknown", action="store_true", help="leave out requests of models without a size")
    source.add_argument("--from-cluster", action="store_true", help="read nodes, limits, models from a cluster")
    source.add_argument("--kubeconfig", type=pathlib.Path, metavar="FILE", help="of that cluster")
    source.add_argument(
        "--faults", type=pathlib.Path, metavar="PLAN", help="what goes wrong, instead of its own faults"
    )
    source.add_argument("--seed", type=int, default=1, help="decides all that is left to chance (default: 1)")
    ask = parser.add_argument_group("what is asked")
    ask.add_argument(
        "--vary", action="append", default=[], metavar="K=A,B,...", help="one value after the other, with all others"
    )
    ask.add_argument("--find", metavar="K", help="the least of it that meets every --slo: disk, nodes, copies, ...")
    ask.add_argument("--slo", action="append", default=[], metavar="EXPR", help="what must hold: 'cold_start_p99<30s'")
    ask.add_argument("--price", metavar="K=X,...", help="disk=, egress= (GiB), gpu_hour=, node_hour=: what it costs")
    effort = parser.add_argument_group("effort")
    effort.add_argument(
        "--replications",
        type=int,
        default=5,
        metavar="N",
        help="at most so many, each with lots of its own (default: 5)",
    )
    effort.add_argument(
        "--precision", type=float, default=0.1, help="enough when each p99 is known within this share (default: 0.1)"
    )
    effort.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: all cores)")
    effort.add_argument("--yes", action="store_true", help="go on, however long it takes")
    out = parser.add_argument_group("what comes out")
    out.add_argument("--json", type=pathlib.Path, metavar="FILE", help="the whole outcome (-: standard output)")
    out.add_argument("--csv", type=pathlib.Path, metavar="FILE", help="a row for each point")
    out.add_argument("--report", type=pathlib.Path, metavar="FILE.html", help="a page with curves, tables, heat maps")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    try:
        if str(arguments.json) == "-":
            # The JSON has standard output for itself.
            with contextlib.redirect_stdout(sys.stderr):
                return _run(arguments)
        return _run(arguments)
    except InvalidInput as error:
        print(f"localmodel plan: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("localmodel plan: interrupted; nothing was written", file=sys.stderr)
        return _EXIT_INTERRUPTED


def _run(arguments: argparse.Namespace) -> int:
    # Imported late: numpy and scipy take longer than the other commands.
    from cachesim.commands.plan_input import command_of, make_question
    from cachesim.commands.plan_output import check_outputs, tell, write
    from cachesim.planning.answering import answer
    from cachesim.planning.pace import Progress, refuse_hours

    began = time.perf_counter()
    check_outputs(arguments)
    asked, notes = make_question(arguments)
    if not arguments.yes:
        refuse_hours(asked, jobs=arguments.jobs)
    progress = Progress(sys.stderr)
    outcome = answer(asked, jobs=arguments.jobs, told=progress)
    progress.end()
    outcome = msgspec.structs.replace(
        outcome,
        notes=(*notes, *outcome.notes),
        command=command_of(arguments),
        wall_seconds=round(time.perf_counter() - began, 3),
    )
    write(outcome, asked, arguments)
    tell(outcome, asked.question.objectives)
    return 1 if asked.question.objectives and not any(point.meets for point in outcome.points) else 0
