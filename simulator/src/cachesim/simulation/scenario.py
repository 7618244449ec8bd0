"""Scenario files: what a simulated cluster has, what it is asked for, and what goes wrong.

A file is YAML; fields are camelCase as in Kubernetes, sizes and durations as people write them (`40Gi`, `10Gbps`,
`30m`). A mistake is answered with one line: file, line, field, and what is allowed.
"""

from __future__ import annotations

import difflib
import pathlib
import re
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
import yaml

from cachecore.errors import InvalidInput
from cachecore.quantity import quantity_bytes

Positive = Annotated[int, msgspec.Meta(ge=1)]
Duration = Annotated[
    str, msgspec.Meta(pattern=r"^\d+(\.\d+)?(ms|s|m|h|d)$", description="a number with one of ms, s, m, h, d: 90s")
]
Rate = Annotated[
    str,
    msgspec.Meta(pattern=r"^\d+(\.\d+)?[kMGT]?bps$", description="a number with one of bps, kbps, Mbps, Gbps: 10Gbps"),
]
Size = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^\d+(\.\d+)?([kMGTP]|[KMGTP]i)?$", description="a number with one of k, M, G, T, Ki, Mi, Gi, Ti: 40Gi"
    ),
]
Name = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", description="lower-case letters, digits and dashes: llama-8b"
    ),
]

_DURATION_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RATE_BITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Part of a scenario: a field that is not known is a mistake."""


class Nodes(_Section, frozen=True, kw_only=True):
    """The nodes, all alike. `loadRate` is how fast a container reads a local model into memory."""

    count: Positive
    disk: Size
    network: Rate = "10Gbps"
    load_rate: Rate = "16Gbps"


class ObjectStorage(_Section, frozen=True, kw_only=True):
    """S3: its bandwidth over all nodes, and the delay before the first byte of each request."""

    bandwidth: Rate = "40Gbps"
    latency: Duration = "50ms"


class NodeGroup(_Section, frozen=True, kw_only=True):
    """The LocalModelNodeGroup over all nodes."""

    storage_limit: Size
    high_watermark: Annotated[int, msgspec.Meta(ge=1, le=100)] = 90
    low_watermark: Annotated[int, msgspec.Meta(ge=1, le=100)] = 80
    max_concurrent_downloads: Positive = 2


class Model(_Section, frozen=True, kw_only=True):
    """One model, made of `files` files, and its cache. `copies` None: on every node."""

    name: Name
    size: Size
    files: Positive = 4
    priority: int = 0
    pinned: bool = False
    copies: Positive | None = None
    cached: bool = True


class Traffic(_Section, frozen=True, kw_only=True):
    """Pods that come and go: starts are a Poisson process, models are chosen by a Zipf law in the order of `models`."""

    starts_per_hour: Annotated[float, msgspec.Meta(gt=0)]
    zipf: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    lifetime: Duration = "10m"
    begin: Duration = "0s"


class Fault(_Section, frozen=True, kw_only=True):
    """Something that goes wrong at a time. A lost node returns `after` that time; its disk is `kept` or `wiped`."""

    at: Duration
    what: Literal["agent-crash", "manager-crash", "node-lost", "node-deleted"]
    node: str = ""
    after: Duration = "5m"
    disk: Literal["kept", "wiped"] = "kept"


class Scenario(_Section, frozen=True, kw_only=True):
    """A whole scenario file."""

    name: str
    description: str
    duration: Duration
    nodes: Nodes
    group: NodeGroup
    models: Annotated[tuple[Model, ...], msgspec.Meta(min_length=1)]
    traffic: Traffic | None = None
    storage: ObjectStorage = ObjectStorage()
    faults: tuple[Fault, ...] = ()

    def node_names(self) -> list[str]:
        return [f"node-{number}" for number in range(1, self.nodes.count + 1)]


def duration_seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if match is None:
        raise InvalidInput(f"{text!r} is not a duration: write a number with one of ms s m h d")
    return float(match.group(1)) * _DURATION_SECONDS[match.group(2)]


def rate_bytes_per_second(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kMGT]?)bps", text)
    if match is None:
        raise InvalidInput(f"{text!r} is not a rate: write a number with one of bps kbps Mbps Gbps Tbps")
    return float(match.group(1)) * _RATE_BITS[match.group(2)] / 8


def load_scenario(path: pathlib.Path) -> Scenario:
    """Read and check a scenario file. Raises `InvalidInput` with file, line, field and what is allowed."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from error
    try:
        document = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise InvalidInput(f"{path}{line}: not YAML: {getattr(error, 'problem', error)}") from error
    try:
        scenario = msgspec.convert(content, Scenario)
    except msgspec.ValidationError as error:
        raise InvalidInput(_explain(path, document, str(error))) from error
    _check(path, document, scenario)
    return scenario


def _check(path: pathlib.Path, document: yaml.Node | None, scenario: Scenario) -> None:
    """What a type cannot say."""

    def wrong(field: str, message: str) -> InvalidInput:
        return InvalidInput(f"{path}:{_line_of(document, field)}: {field.removeprefix('$.')}: {message}")

    names = [model.name for model in scenario.models]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise wrong(f"$.models[{index}].name", f"there are two models {name!r}: give each its own name")
    if scenario.group.low_watermark >= scenario.group.high_watermark:
        raise wrong("$.group.lowWatermark", f"must be below highWatermark ({scenario.group.high_watermark})")
    if quantity_bytes(scenario.group.storage_limit) > quantity_bytes(scenario.nodes.disk):
        raise wrong("$.group.storageLimit", f"is more than the nodes' disk of {scenario.nodes.disk}")
    for index, fault in enumerate(scenario.faults):
        if fault.what != "manager-crash" and fault.node not in scenario.node_names():
            allowed = ", ".join(scenario.node_names())
            raise wrong(f"$.faults[{index}].node", f"no node {fault.node!r}: use one of {allowed}")


def _explain(path: pathlib.Path, document: yaml.Node | None, message: str) -> str:
    """msgspec's message, with the line, and for an unknown field what was probably meant."""
    what, _, where = message.partition(" - at ")
    field = where.strip("`") or "$"
    unknown = re.search(r"unknown field `([^`]*)`", what)
    if unknown is not None:
        allowed = _allowed_fields(field)
        near = difflib.get_close_matches(unknown.group(1), allowed, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        line = _line_of(document, f"{field}.{unknown.group(1)}")
        return f"{path}:{line}: unknown field {unknown.group(1)!r}: {hint}allowed here: {', '.join(allowed)}"
    allowed_values = _allowed_values(_annotation_of(field))
    if allowed_values:
        what = f"write {allowed_values}"
    return f"{path}:{_line_of(document, field)}: {field.removeprefix('$').removeprefix('.') or 'file'}: {what}"


def _allowed_fields(field: str) -> list[str]:
    return [item.encode_name for item in msgspec.structs.fields(_section_of(_annotation_of(field)))]


def _annotation_of(field: str) -> Any:
    """The type of a field such as `$.models[2].size`."""
    annotation: Any = Scenario
    for name in re.findall(r"\.(\w+)", field):
        types = {item.encode_name: item.type for item in msgspec.structs.fields(_section_of(annotation))}
        annotation = types[name]
    return annotation


def _allowed_values(annotation: Any) -> str:
    """In words, what a field takes, where its type says so: the values of a Literal, or a description."""
    for metadata in getattr(annotation, "__metadata__", ()):
        if isinstance(metadata, msgspec.Meta) and metadata.description:
            return metadata.description
    if get_origin(annotation) is Literal:
        return f"one of {', '.join(get_args(annotation))}"
    return next((words for part in get_args(annotation) if (words := _allowed_values(part))), "")


def _section_of(annotation: Any) -> Any:
    """The section type inside an annotation such as `tuple[Model, ...]` or `Traffic | None`."""
    if isinstance(annotation, type) and issubclass(annotation, _Section):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        section = _section_of(argument)
        if section is not None:
            return section
    return None


def _line_of(document: yaml.Node | None, field: str) -> int:
    """The line of a field such as `$.models[2].size`, or of the nearest parent that is in the file."""
    node = document
    line = 1 if node is None else node.start_mark.line + 1
    for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", field):
        if name and isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == name), None)
            if found is None:
                return line
            line, node = found[0].start_mark.line + 1, found[1]
        elif index and isinstance(node, yaml.SequenceNode) and int(index) < len(node.value):
            node = node.value[int(index)]
            line = node.start_mark.line + 1
    return line
