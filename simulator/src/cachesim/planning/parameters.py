"""What a plan may vary, as people write it: `disk=500Gi,1Ti`, `policy=LRU,LFU`."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from cachecore.errors import InvalidInput
from cachecore.quantity import quantity_bytes
from cachesim.simulation.scenario import Model, Scenario
from cachesim.simulation.units import rate_bytes_per_second

_ALL = "all"
_POLICIES = ("LRU", "GreedyDualSize", "LFU", "LRFU")


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """`apply` answers the scenario with a value, and raises `InvalidInput` for one that it can't take."""

    name: str
    words: str
    apply: Callable[[Scenario, str], Scenario]


def _disk(scenario: Scenario, value: str) -> Scenario:
    """The limit keeps its share of the disk."""
    if not re.fullmatch(r"\d+(\.\d+)?[KMGTP]i?", value):
        raise InvalidInput("write a size with one of M, G, T, Mi, Gi, Ti: 512Gi")
    before_bytes, limit_bytes = quantity_bytes(scenario.nodes.disk), quantity_bytes(scenario.group.storage_limit)
    limit_bytes = quantity_bytes(value) * limit_bytes // before_bytes
    if limit_bytes <= 0:
        raise InvalidInput("a disk has a size above zero")
    return _with_group(_with_nodes(scenario, disk=value), storage_limit=str(limit_bytes))


def _policy(scenario: Scenario, value: str) -> Scenario:
    if value not in _POLICIES:
        raise InvalidInput(f"use one of {', '.join(_POLICIES)}")
    return _with_group(scenario, policy=value)


def _watermark(field: str) -> Callable[[Scenario, str], Scenario]:
    return lambda scenario, value: _with_group(scenario, **{field: _whole(value, at_most=100)})


def _copies(scenario: Scenario, value: str) -> Scenario:
    copies = None if value == _ALL else _whole(value)
    return _with_models(scenario, lambda model: msgspec.structs.replace(model, copies=copies))


def _pinned(scenario: Scenario, value: str) -> Scenario:
    """So many of the first models, which traffic wants most; or models by name, with a + between them."""
    if re.fullmatch(r"\d+", value):
        names = {model.name for model in scenario.models[: int(value)]}
    else:
        names = set(value.split("+"))
        unknown = sorted(names - {model.name for model in scenario.models})
        if unknown:
            raise InvalidInput(f"no model {unknown[0]!r}: give names, or how many of the first models")
    return _with_models(scenario, lambda model: msgspec.structs.replace(model, pinned=model.name in names))


def _traffic(scenario: Scenario, value: str) -> Scenario:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)x?", value)
    if match is None or float(match.group(1)) <= 0:
        raise InvalidInput("write how many times as much: 2x")
    if scenario.traffic is None:
        raise InvalidInput("the starts come from a log, which is as it is")
    more = scenario.traffic.starts_per_hour * float(match.group(1))
    return msgspec.structs.replace(scenario, traffic=msgspec.structs.replace(scenario.traffic, starts_per_hour=more))


def _bandwidth(scenario: Scenario, value: str) -> Scenario:
    rate_bytes_per_second(value)
    return msgspec.structs.replace(scenario, storage=msgspec.structs.replace(scenario.storage, bandwidth=value))


def _network(scenario: Scenario, value: str) -> Scenario:
    rate_bytes_per_second(value)
    return _with_nodes(scenario, network=value)


_PARAMETERS = (
    Parameter(name="disk", words="the disk of each node; storageLimit keeps its share of it", apply=_disk),
    Parameter(
        name="nodes", words="how many nodes", apply=lambda scenario, value: _with_nodes(scenario, count=_whole(value))
    ),
    Parameter(
        name="gpus",
        words="how many GPUs each node has",
        apply=lambda scenario, value: _with_nodes(scenario, gpus=_whole(value)),
    ),
    Parameter(name="policy", words=f"the eviction policy: {', '.join(_POLICIES)}", apply=_policy),
    Parameter(name="highWatermark", words="percent of the limit", apply=_watermark("high_watermark")),
    Parameter(name="lowWatermark", words="percent of the limit", apply=_watermark("low_watermark")),
    Parameter(
        name="maxConcurrentDownloads",
        words="of each node",
        apply=lambda scenario, value: _with_group(scenario, max_concurrent_downloads=_whole(value)),
    ),
    Parameter(name="copies", words="of every model: a number, or all", apply=_copies),
    Parameter(name="pinned", words="so many of the first models, or models by name: a+b", apply=_pinned),
    Parameter(name="traffic", words="how many times as much: 2x", apply=_traffic),
    Parameter(name="bandwidth", words="of the object store: 100Gbps", apply=_bandwidth),
    Parameter(name="network", words="of each node: 25Gbps", apply=_network),
)
PARAMETERS = {parameter.name: parameter for parameter in _PARAMETERS}

Parameters = dict[str, str]


def parse_vary(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """`disk=500Gi,1Ti` as given with `--vary`, once for each parameter. Raises `InvalidInput`."""
    varied: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        listed = tuple(value.strip() for value in values.split(",") if value.strip())
        if not equals or not listed:
            raise InvalidInput(f"--vary {text}: write a parameter and its values: --vary disk=500Gi,1Ti")
        known(name)
        if name in varied:
            raise InvalidInput(f"--vary {text}: {name} is varied already; give all its values at once")
        varied[name] = tuple(dict.fromkeys(listed))
    return varied


def known(name: str) -> Parameter:
    """The parameter of that name. Raises `InvalidInput` with all that there are."""
    if name not in PARAMETERS:
        raise InvalidInput(f"no parameter {name!r}: use one of {', '.join(PARAMETERS)}")
    return PARAMETERS[name]


def grid(varied: Mapping[str, Sequence[str]]) -> list[Parameters]:
    """Every combination, the last parameter changing fastest."""
    return [dict(zip(varied, values, strict=True)) for values in itertools.product(*varied.values())]


def apply(scenario: Scenario, parameters: Parameters) -> Scenario:
    """The scenario with these parameters. Raises `InvalidInput` that names parameter and value."""
    for name, value in parameters.items():
        try:
            scenario = known(name).apply(scenario, value)
        except InvalidInput as error:
            raise InvalidInput(f"{name}={value}: {error}") from error
    low, high = scenario.group.low_watermark, scenario.group.high_watermark
    if low >= high:
        raise InvalidInput(f"lowWatermark ({low}) must be below highWatermark ({high}): vary both, or choose others")
    return scenario


def _whole(value: str, at_most: int = sys.maxsize) -> int:
    if not re.fullmatch(r"\d+", value) or not 1 <= int(value) <= at_most:
        raise InvalidInput("write a whole number from 1 " + (f"to {at_most}" if at_most < sys.maxsize else "on"))
    return int(value)


def _with_nodes(scenario: Scenario, **fields: object) -> Scenario:
    return msgspec.structs.replace(scenario, nodes=msgspec.structs.replace(scenario.nodes, **fields))


def _with_group(scenario: Scenario, **fields: object) -> Scenario:
    return msgspec.structs.replace(scenario, group=msgspec.structs.replace(scenario.group, **fields))


def _with_models(scenario: Scenario, change: Callable[[Model], Model]) -> Scenario:
    return msgspec.structs.replace(scenario, models=tuple(change(model) for model in scenario.models))
