"""Fault plans are data: a list of {when, where, what}.

    - {when: 40s, where: node-1, what: node-lost, for: 20s}
    - {when: 3rd, where: manager-1 update_status LocalModelNode/node-2, what: crash-after}
    - {when: 2nd, where: agent/node-1 rename, what: error}

`when` is a time since the beginning, or the n-th occasion of a *site*: a call of a port, written `process verb
subject`, each of which may be a pattern as in a shell; what is left out matches everything. A fault that
strikes a node can be triggered by a site, too: then it strikes the node of the process that made the call.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from cachesim.faults.kinds import KINDS, Kind, Scope, What
from cachesim.simulation.section import Section
from cachesim.simulation.units import Duration, duration_seconds

When = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(\d+(st|nd|rd|th)|\d+(\.\d+)?(ms|s|m|h|d))$",
        description="a time (40s) or the n-th occasion of a site (1st, 2nd, 3rd)",
    ),
]


class Fault(Section, frozen=True, kw_only=True):
    """One thing that goes wrong.

    `disk` is for nodes that are lost or deleted, `model` for an object that changes, `share` for an object store that
    is slow: what it has left of its bandwidth.
    """

    when: When
    where: str = ""
    what: What
    lasting: Duration | None = msgspec.field(default=None, name="for")
    disk: Literal["kept", "wiped", "swapped"] = "kept"
    model: str = ""
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.05

    @property
    def kind(self) -> Kind:
        return KINDS[self.what]

    @property
    def occasion(self) -> int:
        """Which occasion of the site; 0 when the fault comes at a time."""
        found = re.fullmatch(r"(\d+)(?:st|nd|rd|th)", self.when)
        return int(found.group(1)) if found else 0

    @property
    def at_seconds(self) -> float:
        return 0.0 if self.occasion else duration_seconds(self.when)

    @property
    def lasting_seconds(self) -> float:
        return self.kind.lasting_seconds if self.lasting is None else duration_seconds(self.lasting)

    def words(self) -> str:
        """The fault in a line, as in a plan."""
        lasting = f" for {self.lasting_seconds:g} s" if self.lasting_seconds else ""
        details = f", model {self.model}" if self.model else ""
        if self.disk != "kept":
            details += f", disk {self.disk}"
        when = f"{self.when} of" if self.occasion else self.when
        return f"{self.what} at {when} {self.where or 'the cluster'}{lasting}{details}"


class FaultPlan(Section, frozen=True, kw_only=True):
    """A file of its own, for `--faults FILE`."""

    faults: tuple[Fault, ...]


def problem_with(fault: Fault, node_names: list[str], managers: list[str], models: list[str]) -> tuple[str, str]:
    """What a type cannot say of a fault: the field, and what is wrong; ("", "") when nothing is."""
    scope = fault.kind.scope
    if fault.model and fault.model not in models:
        return "model", f"no model {fault.model!r}: use one of {', '.join(models)}"
    if fault.occasion:
        if not fault.where:
            return "where", "an occasion needs a site: write 'process verb subject', such as 'agent/node-1 rename'"
        if len(fault.where.split()) > 3:
            return "where", "a site has three words at most: process, verb, subject"
        return "", ""
    if scope is Scope.CALL:
        return "when", f"{fault.what} strikes a call: write which occasion of the site, such as 1st"
    if scope is Scope.NODE and fault.where not in node_names:
        return "where", f"no node {fault.where!r}: use one of {', '.join(node_names)}"
    if scope is Scope.MANAGER and fault.where not in managers:
        return "where", f"no manager {fault.where!r}: use one of {', '.join(managers)}"
    if scope is Scope.CLUSTER and fault.where:
        return "where", f"{fault.what} strikes the whole cluster: leave it out"
    return "", ""


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
