"""Reading a scenario or a fault plan from YAML: a mistake is answered with file, line, field, and what is allowed."""

from __future__ import annotations

import difflib
import pathlib
import re
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
import yaml

from cachecore.errors import InvalidInput
from cachecore.quantity import quantity_bytes
from cachesim.faults.plan import Fault, FaultPlan, problem_with
from cachesim.simulation.scenario import Scenario, Step, Traffic
from cachesim.simulation.section import Section
from cachesim.simulation.zones import zone_names
from cachesim.sometimes.names import SITUATIONS

T = TypeVar("T", Scenario, FaultPlan)

# Which fields a step of the story needs.
_CACHE_STEPS = ("create-cache", "delete-cache", "pin", "unpin", "create-namespace-cache", "delete-namespace-cache")
_STEP_NEEDS = {
    "model": (*_CACHE_STEPS, "deploy", "start-pod", "release"),
    "name": ("deploy", "undeploy", "start-pod", "delete-pod"),
    "node": ("cordon", "uncordon", "leave-group", "join-group", "add-node", "delete-node", "delete-local-node"),
    "size": ("set-limit",),
}


def load_scenario(path: pathlib.Path) -> Scenario:
    """Read and check a scenario file. Raises `InvalidInput` with file, line, field and what is allowed."""
    scenario, document = _load(path, Scenario)
    _refuse(path, document, _scenario_problem(scenario))
    _refuse(path, document, _faults_problem(scenario, scenario.faults))
    return scenario


def load_plan(path: pathlib.Path, scenario: Scenario) -> tuple[Fault, ...]:
    """Read a fault plan and check it against the scenario that it is for. Raises `InvalidInput`."""
    plan, document = _load(path, FaultPlan)
    _refuse(path, document, _faults_problem(scenario, plan.faults))
    return plan.faults


def _load(path: pathlib.Path, type_: type[T]) -> tuple[T, yaml.Node | None]:
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
        return msgspec.convert(content, type_), document
    except msgspec.ValidationError as error:
        raise InvalidInput(_explain(path, document, str(error), type_)) from error


def _refuse(path: pathlib.Path, document: yaml.Node | None, problem: tuple[str, str]) -> None:
    field, message = problem
    if message:
        raise InvalidInput(f"{path}:{_line_of(document, f'$.{field}')}: {field}: {message}")


def _scenario_problem(scenario: Scenario) -> tuple[str, str]:
    """What a type cannot say: the field, and what is wrong; ("", "") when nothing is."""
    names = [model.name for model in scenario.models]
    for index, name in enumerate(names):
        if name in names[:index]:
            return f"models[{index}].name", f"there are two models {name!r}: give each its own name"
    if scenario.group.low_watermark >= scenario.group.high_watermark:
        return "group.lowWatermark", f"must be below highWatermark ({scenario.group.high_watermark})"
    if quantity_bytes(scenario.group.storage_limit) > quantity_bytes(scenario.nodes.disk):
        return "group.storageLimit", f"is more than the nodes' disk of {scenario.nodes.disk}"
    field, message = _traffic_problem(scenario.traffic, names)
    if message:
        return field, message
    nodes = [*scenario.node_names(), *(step.node for step in scenario.story if step.do == "add-node")]
    for index, step in enumerate(scenario.story):
        field, message = _step_problem(step, names, nodes)
        if message:
            return f"story[{index}].{field}", message
    if not isinstance(scenario.sometimes, str):
        for index, name in enumerate(scenario.sometimes):
            if name not in SITUATIONS:
                near = difflib.get_close_matches(name, SITUATIONS, n=1)
                return f"sometimes[{index}]", f"no situation {name!r}: did you mean {near[0] if near else 'another'!r}?"
    return "", ""


def _traffic_problem(traffic: Traffic | None, models: list[str]) -> tuple[str, str]:
    if traffic is None:
        return "", ""
    named: list[tuple[str, tuple[str, ...]]] = []
    named += [(f"traffic.flashCrowds[{index}].model", (one.model,)) for index, one in enumerate(traffic.flash_crowds)]
    named += [(f"traffic.releases[{index}].models", one.models) for index, one in enumerate(traffic.releases)]
    for field, wanted in named:
        unknown = [name for name in wanted if name not in models]
        if unknown:
            return field, f"no model {unknown[0]!r}: use one of {', '.join(models)}"
    return "", ""


def _step_problem(step: Step, models: list[str], nodes: list[str]) -> tuple[str, str]:
    for field, steps in _STEP_NEEDS.items():
        if step.do in steps and not getattr(step, field):
            return field, f"{step.do} needs it"
    if step.model and step.model not in models:
        return "model", f"no model {step.model!r}: use one of {', '.join(models)}"
    if step.node and step.node not in nodes:
        return "node", f"no node {step.node!r}: use one of {', '.join(nodes)}"
    return "", ""


def _faults_problem(scenario: Scenario, faults: tuple[Fault, ...]) -> tuple[str, str]:
    nodes = [*scenario.node_names(), *(step.node for step in scenario.story if step.do == "add-node")]
    nodes += zone_names(scenario.nodes)
    models = [model.name for model in scenario.models]
    for index, fault in enumerate(faults):
        field, message = problem_with(fault, nodes, scenario.manager_names(), models)
        if message:
            return f"faults[{index}].{field}", message
    return "", ""


def _explain(path: pathlib.Path, document: yaml.Node | None, message: str, root: type[Section]) -> str:
    """msgspec's message, with the line, and for an unknown field what was probably meant."""
    what, _, where = message.partition(" - at ")
    field = where.strip("`") or "$"
    unknown = re.search(r"unknown field `([^`]*)`", what)
    if unknown is not None:
        allowed = _allowed_fields(root, field)
        near = difflib.get_close_matches(unknown.group(1), allowed, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        line = _line_of(document, f"{field}.{unknown.group(1)}")
        return f"{path}:{line}: unknown field {unknown.group(1)!r}: {hint}allowed here: {', '.join(allowed)}"
    allowed_values = _allowed_values(_annotation_of(root, field))
    if allowed_values:
        what = f"write {allowed_values}"
    return f"{path}:{_line_of(document, field)}: {field.removeprefix('$').removeprefix('.') or 'file'}: {what}"


def _allowed_fields(root: type[Section], field: str) -> list[str]:
    return [item.encode_name for item in msgspec.structs.fields(_section_of(_annotation_of(root, field)))]


def _annotation_of(root: type[Section], field: str) -> Any:
    """The type of a field such as `$.models[2].size`."""
    annotation: Any = root
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
    if isinstance(annotation, type) and issubclass(annotation, Section):
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
