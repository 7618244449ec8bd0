"""What `localmodel plan` and `localmodel explain` are given: a question, from files, a log or a cluster."""

from __future__ import annotations

import argparse
import pathlib
import shlex

import msgspec

from cachecore.errors import InvalidInput
from cachesim.planning.agent_logs import read_any
from cachesim.planning.answering import Asked
from cachesim.planning.log_starts import starts_of
from cachesim.planning.outages import refuse_unplanned
from cachesim.planning.parameters import parse_vary
from cachesim.planning.prices import parse_prices
from cachesim.planning.question import Question
from cachesim.planning.slo import parse_slo
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.scenario_file import load_plan, load_scenario

# What changes how many nodes there are, or what each is: then nobody knows which node a request of a log was on.
_MOVING = ("nodes", "gpus")


def make_question(arguments: argparse.Namespace) -> tuple[Asked, tuple[str, ...]]:
    """The question, and in words what of the input was noticed. Raises `InvalidInput`."""
    if arguments.jobs < 1:
        raise InvalidInput("--jobs: at least one process is needed")
    if arguments.replications < 1:
        raise InvalidInput("--replications: at least one is needed")
    if arguments.precision <= 0:
        raise InvalidInput("--precision: write a share above 0, such as 0.1")
    scenario, notes = _scenario(arguments)
    varied = parse_vary(arguments.vary)
    if arguments.find in varied:
        raise InvalidInput(f"--find {arguments.find}: it can't be varied and searched at once")
    if arguments.find and not arguments.slo:
        raise InvalidInput(f"--find {arguments.find}: say with --slo what has to hold, such as 'cold_start_p99<30s'")
    prices = parse_prices(arguments.price) if arguments.price else {}
    objectives = parse_slo(arguments.slo)
    if any(one.metric == "cost" for one in objectives) and not prices:
        raise InvalidInput("--slo on cost needs prices: add --price disk=...,egress=...,gpu_hour=...")
    faults = scenario.faults if arguments.faults is None else load_plan(arguments.faults, scenario)
    refuse_unplanned(faults)
    question = Question(
        scenario=scenario,
        seed=arguments.seed,
        faults=faults,
        objectives=objectives,
        prices=prices,
        replications_max=arguments.replications,
        precision=arguments.precision,
    )
    if arguments.log is not None:
        free = any(name in varied or name == arguments.find for name in _MOVING)
        log = read_any(arguments.log)
        starts, more = starts_of(log, scenario, free_nodes=free, ignore_unknown=arguments.ignore_unknown)
        # The log is as long as it is, and its starts are what they are.
        lasting = msgspec.structs.replace(scenario, duration=f"{starts.duration_seconds:.3f}s")
        question = msgspec.structs.replace(question, scenario=lasting, log_starts=starts)
        notes = (*notes, *log.notes, *more)
    elif scenario.traffic is None:
        raise InvalidInput("the scenario has no traffic: add one, or give requests with --log")
    asked = Asked(question=question, varied=varied, find=arguments.find or "")
    asked.check()
    return asked, notes


def command_of(arguments: argparse.Namespace) -> str:
    """What asks the same again, as typed into a shell."""
    words = ["localmodel", "plan"]
    words += [str(arguments.scenario)] if arguments.scenario else []
    words += ["--log", *map(str, arguments.log)] if arguments.log else []
    words += ["--ignore-unknown"] if arguments.ignore_unknown else []
    words += ["--from-cluster"] if arguments.from_cluster else []
    words += ["--kubeconfig", str(arguments.kubeconfig)] if arguments.kubeconfig else []
    words += ["--faults", str(arguments.faults)] if arguments.faults else []
    words += [word for text in arguments.vary for word in ("--vary", text)]
    words += ["--find", arguments.find] if arguments.find else []
    words += [word for text in arguments.slo for word in ("--slo", text)]
    words += ["--price", arguments.price] if arguments.price else []
    words += ["--seed", str(arguments.seed)]
    words += ["--replications", str(arguments.replications)] if arguments.replications != 5 else []
    words += ["--precision", str(arguments.precision)] if arguments.precision != 0.1 else []
    return shlex.join(words)


def _scenario(arguments: argparse.Namespace) -> tuple[Scenario, tuple[str, ...]]:
    """From a file, or what a cluster has; its traffic, disks and networks, which no cluster tells, from the file."""
    path: pathlib.Path | None = arguments.scenario
    if arguments.from_cluster:
        from cachesim.planning.from_cluster import read_cluster

        return read_cluster(arguments.kubeconfig, None if path is None else load_scenario(path))
    if arguments.kubeconfig is not None:
        raise InvalidInput("--kubeconfig: that is of the cluster which --from-cluster reads")
    if path is None:
        raise InvalidInput("which SCENARIO? Give a file, or --from-cluster with a --log")
    return load_scenario(path), ()
