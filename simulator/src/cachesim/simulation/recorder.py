"""Watches a simulated cluster's events and keeps what happened over time. Nothing of it is there unless asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Protocol

from cachecore.quantity import quantity_bytes
from cachesim.apiserver.store import Change
from cachesim.disk import DiskEvent
from cachesim.simulation.copies import CopyTracker
from cachesim.simulation.event_log import Event
from cachesim.simulation.pod_tracker import PodTracker
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.timeline import (
    CopiesPoint,
    DiskPoint,
    FaultSpan,
    ModelLine,
    NodeLane,
    Outage,
    Timeline,
    ViolationMark,
)
from cachesim.simulation.words import ModelNames

# Changes of a disk that are smaller than this share of it are no point of their own: they can't be seen.
_VISIBLE_SHARE = 1000


class UsedDisk(Protocol):
    """What the recorder reads of a disk."""

    @property
    def used_bytes(self) -> int: ...


class Recorder:
    """An observer of the event log. `disks` are the world's, by node, and may grow while it watches."""

    def __init__(self, scenario: Scenario, disks: Mapping[str, UsedDisk]) -> None:
        self._scenario = scenario
        self._disks = disks
        self._names = ModelNames.of(scenario)
        self._nodes = dict.fromkeys(scenario.node_names())
        self._disk_bytes = quantity_bytes(scenario.nodes.disk)
        self._points: dict[str, list[DiskPoint]] = {}
        self._copies = CopyTracker(self._names)
        self._pods = PodTracker(self._names, self._copies)
        self._stopped: dict[tuple[str, str], float] = {}
        self._outages: dict[str, list[Outage]] = {}
        self._faults: list[FaultSpan] = []
        self._violations: list[ViolationMark] = []

    def observe(self, event: Event) -> None:
        subject = event.subject
        if isinstance(subject, Change):
            if subject.resource_type.plural == "pods":
                self._pods.changed(event.seconds, subject)
        elif isinstance(subject, DiskEvent):
            self._copies.disk_changed(event.seconds, event.node, subject)
            if subject.verb != "part":
                self._note_usage(event.seconds, event.node)
        elif event.kind == "host":
            self._note_host(event.seconds, event.node, subject)
        elif event.kind == "fault":
            self._faults.append(self._fault(event.seconds, subject))
        elif event.kind == "heal":
            self._faults = healed(self._faults, subject, event.seconds)
        elif event.kind == "violation":
            self._violations.append(self._violation(event.seconds, subject))

    def timeline(self, end_seconds: float) -> Timeline:
        """The run up to this moment."""
        spans = self._copies.spans(end_seconds)
        outages = {node: list(found) for node, found in self._outages.items()}
        for (node, what), began in self._stopped.items():
            outages.setdefault(node, []).append(Outage(what=what, begin_seconds=began, end_seconds=end_seconds))
        for node in (*self._disks, *spans):
            self._nodes.setdefault(node)
        lanes = [
            NodeLane(
                name=node,
                copies=tuple(spans.get(node, ())),
                disk=tuple(self._points.get(node, ())),
                outages=tuple(outages.get(node, ())),
            )
            for node in self._nodes
        ]
        return Timeline(
            end_seconds=end_seconds,
            disk_bytes=self._disk_bytes,
            limit_bytes=quantity_bytes(self._scenario.group.storage_limit),
            high_watermark=self._scenario.group.high_watermark,
            low_watermark=self._scenario.group.low_watermark,
            nodes=tuple(lanes),
            models=tuple(self._model_lines(lanes)),
            outages=tuple(outages.get("", ())),
            pods=self._pods.lives(),
            faults=tuple(over_by(fault, end_seconds) for fault in self._faults),
            violations=tuple(self._violations),
            downloads=self._copies.downloads(end_seconds),
            evictions=tuple(self._copies.evictions),
        )

    def _note_usage(self, seconds: float, node: str) -> None:
        points = self._points.setdefault(node, [DiskPoint(0.0, 0)])
        used_bytes = self._disks[node].used_bytes
        if abs(used_bytes - points[-1].used_bytes) * _VISIBLE_SHARE < self._disk_bytes and used_bytes:
            return
        if points[-1].seconds == seconds:
            points.pop()
        points.append(DiskPoint(seconds, used_bytes))

    def _note_host(self, seconds: float, node: str, words: str) -> None:
        """`agent stopped`, `manager-1 started`: an outage is what lies between the two."""
        what, _, verb = words.rpartition(" ")
        what = "node" if what == "kubelet" else what
        if verb == "stopped":
            self._stopped.setdefault((node, what), seconds)
        elif verb == "started" and (node, what) in self._stopped:
            began = self._stopped.pop((node, what))
            outage = Outage(what=what, begin_seconds=began, end_seconds=seconds)
            self._outages.setdefault(node, []).append(outage)

    def _fault(self, seconds: float, words: str) -> FaultSpan:
        told = self._names.in_text(words)
        return FaultSpan(words=told, node=node_in(words, self._nodes), begin_seconds=seconds, end_seconds=None)

    def _violation(self, seconds: float, words: str) -> ViolationMark:
        invariant, _, message = words.partition(": ")
        told = self._names.in_text(message)
        return ViolationMark(invariant=invariant, message=told, node=node_in(message, self._nodes), seconds=seconds)

    def _model_lines(self, lanes: Iterable[NodeLane]) -> Iterable[ModelLine]:
        sizes = {model.name: quantity_bytes(model.size) for model in self._scenario.models}
        changes: dict[str, dict[float, int]] = {name: {} for name in sizes}
        for lane in lanes:
            for span in lane.copies:
                if span.state in ("held", "in use"):
                    of_model = changes.setdefault(span.model, {})
                    of_model[span.begin_seconds] = of_model.get(span.begin_seconds, 0) + 1
                    of_model[span.end_seconds] = of_model.get(span.end_seconds, 0) - 1
        for name, of_model in changes.items():
            yield ModelLine(name=name, size_bytes=sizes.get(name, 0), copies=tuple(_running_sum(of_model)))


def node_in(text: str, nodes: Iterable[str]) -> str:
    """The first node that a text names; "" when it names none."""
    words = re.findall(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?", text)
    known = set(nodes)
    return next((word for word in words if word in known), "")


def healed(faults: list[FaultSpan], words: str, seconds: float) -> list[FaultSpan]:
    """The faults after some ended: all of them (`all faults stop`), or the first open one that the words mean.

    They mean it with its own words, or with `<what> ends on <where>`, where both are in its words.
    """
    if words == "all faults stop":
        return [over_by(fault, seconds) for fault in faults]
    what, _, where = words.partition(" ends")
    where = where.removeprefix(" on ")
    for index, fault in enumerate(faults):
        meant = fault.words == words or (fault.words.startswith(f"{what} ") and where in fault.words)
        if fault.end_seconds is None and meant:
            return [*faults[:index], _ended(fault, seconds), *faults[index + 1 :]]
    return faults


def over_by(fault: FaultSpan, seconds: float) -> FaultSpan:
    """A fault whose end nobody told, and which says how long it lasts: it was over then, or at this moment."""
    match = re.search(r" for (\d[\d.e+]*) s\b", fault.words)
    if fault.end_seconds is not None or match is None:
        return fault
    return _ended(fault, min(seconds, fault.begin_seconds + float(match[1])))


def _ended(fault: FaultSpan, seconds: float) -> FaultSpan:
    return FaultSpan(words=fault.words, node=fault.node, begin_seconds=fault.begin_seconds, end_seconds=seconds)


def _running_sum(changes: Mapping[float, int]) -> Iterable[CopiesPoint]:
    """Points where the sum becomes another."""
    copies = 0
    for seconds in sorted(changes):
        if changes[seconds]:
            copies += changes[seconds]
            yield CopiesPoint(seconds, copies)
