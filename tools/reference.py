"""Write docs/reference.md from what runs: the CRDs, the parsers of the commands, the metrics, the reasons.

python tools/reference.py           writes it
python tools/reference.py --check   exits with 1 when it is not what would be written
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from cacheagent import command as agent_command
from cacheagent.guard import USAGE as GUARD_USAGE
from cacheagent.metrics import AgentMetrics
from cachecore.adapters.flags import FlagParser, environment_variable
from cachecore.controller.metrics import ControllerMetrics
from cachemanager import __main__ as manager_command
from cachemanager.metrics import ManagerMetrics
from cachesim import cli
from cachewebhook import __main__ as webhook_command
from cachewebhook.metrics import WebhookMetrics

REPOSITORY = Path(__file__).resolve().parents[1]
TARGET = REPOSITORY / "docs" / "reference.md"
CRDS = REPOSITORY / "crds"
WORDS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())

KINDS = ("LocalModelCache", "LocalModelNamespaceCache", "LocalModelNodeGroup", "LocalModelNode")

# Printed once, not for each kind.
COMMON_FIELDS = frozenset({"apiVersion", "kind", "metadata"})

INTRODUCTION = """\
<!-- Written by tools/reference.py from the code: change that, then run `python tools/reference.py`. -->

# Reference

- [The API](#the-api): {kinds}
- [Commands](#commands): {commands}
- [Metrics](#metrics)
- [Conditions, states and reasons](#conditions-states-and-reasons)

Everything here is read from what runs: the CustomResourceDefinitions in `crds/`, the commands' own parsers, the
metrics as they are registered. What the parts are and how they work together is in the [README](../README.md).
"""

_TOLD_DEFAULT = re.compile(r" \(default: ([^()]*)\)$")

Schema = dict[str, Any]


# The API.


def api_section() -> Iterator[str]:
    definitions = {
        definition["spec"]["names"]["kind"]: definition
        for definition in (yaml.safe_load(path.read_text()) for path in sorted(CRDS.glob("*.yaml")))
    }
    versions = {kind: definition["spec"]["versions"][0] for kind, definition in definitions.items()}
    yield "## The API\n"
    yield (
        "Group `serving.kserve.io`, version `v1alpha1`. In the column *from*, **ours** marks the optional additions to "
        "KServe's fields. **Bold** names are required. A `[]` in a path stands for each element, `*` for each key.\n"
    )
    for kind in KINDS:
        yield from kind_section(kind, definitions[kind]["spec"], versions)
    conditions = versions[KINDS[0]]["schema"]["openAPIV3Schema"]
    yield "### A condition\n"
    yield "All kinds have them, below `status.conditions[]`, one for each `type`.\n"
    rows = field_rows(conditions["properties"]["status"]["properties"]["conditions"]["items"], "", frozenset())
    yield table(("field", "type", "description"), [(name, kind, text) for name, kind, _, _, text in rows])


def kind_section(kind: str, spec: Schema, versions: dict[str, Schema]) -> Iterator[str]:
    names, version = spec["names"], versions[kind]
    schema = version["schema"]["openAPIV3Schema"]
    yield f"### {kind}\n"
    yield f"{one_line(schema['description'])}\n"
    scope = "one namespace" if spec["scope"] == "Namespaced" else "the whole cluster"
    short = ", ".join(f"`{name}`" for name in names["shortNames"])
    yield (
        f"Belongs to {scope}; `kubectl get {names['plural']}`, short {short}; in the categories "
        f"{', '.join(f'`{name}`' for name in names['categories'])}.\n"
    )
    twin = next((one for one in KINDS[: KINDS.index(kind)] if same_fields(versions[one], version)), None)
    if twin:
        yield f"Its fields, rules and columns are those of a {anchor(twin)}.\n"
        return
    rows = list(field_rows(schema, "", frozenset(WORDS["kserve_fields"][kind].split())))
    yield f"**{kind}.spec**\n"
    yield table(("field", "type", "default", "from", "description"), [row for row in rows if "`spec." in row[0]])
    yield f"**{kind}.status**\n"
    status = [(name, sort, origin, text) for name, sort, _, origin, text in rows if "`status." in name]
    yield table(("field", "type", "from", "description"), status)
    rules = [(path, rule["message"]) for path, rule in rules_of(schema, "")]
    if rules:
        yield "Rules beyond the types, as the API server tells them:\n"
        yield "\n".join(f"- {f'`{path}`: ' if path else ''}{message}" for path, message in rules) + "\n"
    yield "Columns of `kubectl get`; those with an x only with `-o wide`:\n"
    columns = [
        (column["name"], "x" if column.get("priority") else "", one_line(column.get("description", "")))
        for column in version["additionalPrinterColumns"]
    ]
    yield table(("column", "wide", "description"), columns)


def same_fields(one: Schema, other: Schema) -> bool:
    """Whether two versions of kinds differ in nothing that the tables show."""
    first, second = (version["schema"]["openAPIV3Schema"]["properties"] for version in (one, other))
    columns = one["additionalPrinterColumns"] == other["additionalPrinterColumns"]
    return columns and all(first[part]["properties"] == second[part]["properties"] for part in ("spec", "status"))


def field_rows(schema: Schema, path: str, kserve: frozenset[str]) -> Iterator[tuple[str, str, str, str, str]]:
    """A row for each field below: name, type, default, where it is from, description."""
    for name, field in schema.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        if not path and name in COMMON_FIELDS:
            continue
        if "." in below or not kserve:
            shown = f"**`{below}`**" if name in schema.get("required", ()) else f"`{below}`"
            default = f"`{yaml_inline(field['default'])}`" if "default" in field else ""
            known = below in kserve or any(below.startswith(name) for name in kserve if name.endswith("."))
            origin = "KServe" if known else "**ours**"
            yield shown, type_of(field), default, origin, describe(field)
        if below == "status.conditions":
            continue
        yield from field_rows(field, below, kserve)
        yield from field_rows(field.get("items", {}), f"{below}[]", kserve)
        if isinstance(field.get("additionalProperties"), dict):
            yield from field_rows(field["additionalProperties"], f"{below}.*", kserve)


def type_of(field: Schema) -> str:
    if field.get("x-kubernetes-int-or-string"):
        return "quantity"
    kind = str(field.get("type", "any"))
    if kind == "array":
        return f"list of {type_of(field['items'])}"
    if isinstance(field.get("additionalProperties"), dict):
        return f"map to {type_of(field['additionalProperties'])}"
    return {"date-time": "time"}.get(field.get("format", ""), kind)


def describe(field: Schema) -> str:
    """The description, and what the schema allows."""
    text = escaped(one_line(field.get("description", "")))
    values: list[str] = field.get("enum") or field.get("additionalProperties", {}).get("enum", [])
    if values:
        text += f" One of {', '.join(f'`{value}`' for value in values if value)}."
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        text += f" From {low} to {high}."
    elif low:
        text += f" At least {low}."
    return text


def rules_of(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield path, rule
    for name, field in schema.get("properties", {}).items():
        yield from rules_of(field, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from rules_of(schema["items"], f"{path}[]")


def yaml_inline(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000).removesuffix("\n...\n").strip()


# Commands.


def commands_section() -> Iterator[str]:
    yield "## Commands\n"
    yield (
        "The services' flags are environment variables as well: `--log-level` is also `LOCALMODEL_LOG_LEVEL`. The "
        "command line wins over the environment, the environment over the default.\n"
    )
    yield from parser_section(manager_command.parser())
    yield from parser_section(agent_command.make_parser())
    yield from guard_section()
    yield from parser_section(webhook_command.parser())
    for parser in subcommands(cli.build_parser()):
        yield from parser_section(parser)


def subcommands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    return [
        command
        for action in parser._actions  # argparse has no other way to ask
        if isinstance(action, argparse._SubParsersAction)
        for command in action.choices.values()
    ]


def parser_section(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"### {parser.prog}\n"
    yield f"{escaped(one_line(parser.description or ''))}\n"
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    positional = [action for action in actions if not action.option_strings]
    flags = [action for action in actions if action.option_strings]
    if positional:
        yield table(("argument", "description"), [(f"**`{argument_name(one)}`**", help_of(one)) for one in positional])
    if isinstance(parser, FlagParser):
        rows = [
            (flag_name(one), f"`{environment_variable(longest(one))}`", default_of(one), help_of(one)) for one in flags
        ]
        yield table(("flag", "variable", "default", "description"), rows)
    elif flags:
        yield table(
            ("flag", "default", "description"), [(flag_name(one), default_of(one), help_of(one)) for one in flags]
        )


def guard_section() -> Iterator[str]:
    """The guard has no parser, to start faster: its flags are read from its help."""
    yield "### cacheagent wait\n"
    yield f"{GUARD_USAGE.split(chr(10))[2]} It runs as the init container of every pod that mounts a cached model.\n"
    flags = re.findall(r"^ {2}(--\S+ \w+) +(.*?)\((\w+)(?:; default: (\w+))?\)$", GUARD_USAGE, re.MULTILINE | re.DOTALL)
    rows = [
        (
            f"`{flag}`" if default else f"**`{flag}`**",
            f"`{variable}`",
            f"`{default}`" if default else "",
            one_line(text),
        )
        for flag, text, variable, default in flags
    ]
    yield table(("flag", "variable", "default", "description"), rows)


def longest(action: argparse.Action) -> str:
    return next(option for option in action.option_strings if option.startswith("--"))


def argument_name(action: argparse.Action) -> str:
    return str(action.metavar or action.dest.upper())


def flag_name(action: argparse.Action) -> str:
    if isinstance(action, argparse.BooleanOptionalAction):
        return f"`{longest(action)}`, `--no-{longest(action)[2:]}`"
    if action.nargs == 0:
        return f"`{longest(action)}`"
    value = "|".join(map(str, action.choices)) if action.choices else argument_name(action)
    shown = f"`{longest(action)} {value}`"
    return f"**{shown}**" if action.required else shown


def default_of(action: argparse.Action) -> str:
    """The default; where it is decided later, the words of the help."""
    told = _TOLD_DEFAULT.search(action.help or "")
    if action.nargs == 0 and not isinstance(action, argparse.BooleanOptionalAction):
        return ""
    if isinstance(action.default, bool):
        return "on" if action.default else "off"
    words = escaped(told.group(1)) if told and told.group(1) != str(action.default) else ""
    value = "" if action.default in (None, "", argparse.SUPPRESS) else f"`{action.default}`"
    return ": ".join(filter(None, (value, words)))


def help_of(action: argparse.Action) -> str:
    """The help, without the variable and the default that have columns of their own."""
    # Before Python 3.13 argparse itself adds the default to the help of a switch.
    text = (action.help or "").removesuffix(" (default: %(default)s)")
    text = re.sub(r" \[LOCALMODEL_\w+(; default: .*)?\]$", "", text)
    return escaped(one_line(_TOLD_DEFAULT.sub("", text).replace("%%", "%")))


# Metrics.


class _Recorder(CollectorRegistry):
    """A registry that can be asked what was registered: labels are told by nothing that is collected."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics: list[MetricWrapperBase] = []

    def register(self, collector: Collector) -> None:
        super().register(collector)
        if isinstance(collector, MetricWrapperBase):
            self.metrics.append(collector)


def metrics_section() -> Iterator[str]:
    yield "## Metrics\n"
    yield "Each service serves them on `--port`, at `/metrics`, beside `/healthz` and `/readyz`.\n"
    controllers, manager, agent, webhook = (_Recorder() for _ in range(4))
    ControllerMetrics(controllers)
    ManagerMetrics(manager)
    AgentMetrics(agent)
    WebhookMetrics(webhook)
    shared = {metric_row(metric) for metric in controllers.metrics}
    for title, recorder in (("cachemanager", manager), ("cacheagent", agent), ("cachewebhook", webhook)):
        yield f"### Metrics of {title}\n"
        rows = [row for metric in recorder.metrics if (row := metric_row(metric)) not in shared]
        yield table(("metric", "type", "labels", "description"), rows)
    yield "### Metrics of every controller\n"
    yield "In cachemanager and cacheagent; the label `controller` tells which.\n"
    yield table(("metric", "type", "labels", "description"), [metric_row(metric) for metric in controllers.metrics])


def metric_row(metric: MetricWrapperBase) -> tuple[str, str, str, str]:
    (family,) = metric.describe()
    name = family.name + ("_total" if family.type == "counter" else "")
    return (
        f"`{name}`",
        family.type,
        ", ".join(f"`{label}`" for label in metric._labelnames),
        escaped(family.documentation),
    )


# Reasons.


def reasons_section() -> Iterator[str]:
    yield "## Conditions, states and reasons\n"
    for section in WORDS["reasons"].values():
        yield f"### {section['title']}\n"
        yield f"{section['intro']}\n"
        rows = []
        for entry in section["entries"].splitlines():
            reason, where, meaning, advice = (cell.strip() for cell in entry.split("|"))
            rows.append((f"`{reason}`", where, meaning, advice))
        advised = any(advice for *_, advice in rows)
        head = ("reason", section["head"], "what it means", "what to do")
        yield table(head, rows) if advised else table(head[:3], [row[:3] for row in rows])


# Markdown.


def one_line(text: str) -> str:
    return " ".join(text.split())


def escaped(text: str) -> str:
    """What Markdown would take for HTML or a column."""
    return text.replace("<", "&lt;")


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |".replace("  ", " ") for line in cells) + "\n"


def anchor(title: str) -> str:
    return f"[{title}](#{title.lower().replace(' ', '-')})"


def reference() -> str:
    """The whole document."""
    for variable in [name for name in os.environ if name.startswith("LOCALMODEL_")]:
        # What is set here is nobody's default.
        del os.environ[variable]
    programs = ["cachemanager", "cacheagent run", "cacheagent wait", "cachewebhook"]
    programs += [command.prog for command in subcommands(cli.build_parser())]
    introduction = INTRODUCTION.format(kinds=", ".join(map(anchor, KINDS)), commands=", ".join(map(anchor, programs)))
    parts = [*api_section(), *commands_section(), *metrics_section(), *reasons_section()]
    return "\n".join([introduction, *parts])


def main() -> int:
    parser = argparse.ArgumentParser(description="Write docs/reference.md from what runs.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when it is out of date")
    arguments = parser.parse_args()
    written = reference()
    if not arguments.check:
        TARGET.write_text(written)
        return 0
    if TARGET.exists() and TARGET.read_text() == written:
        return 0
    print("docs/reference.md is out of date; run: python tools/reference.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
