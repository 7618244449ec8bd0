"""The status of a cache, from what the agents report. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from cachecore.conditions import find_condition, set_condition
from cachecore.progress import copies_text, transfer_text
from cachecore.quantity import format_bytes
from cachecore.resources.meta import Condition
from cachecore.resources.serving import (
    NODE_STATUS_OF_STATE,
    CopyState,
    LocalModelCacheStatus,
    ModelCopies,
    ModelCopyStatus,
    NamespacedName,
    NodeStatusValue,
)

READY = "Ready"
PROGRESSING = "Progressing"
DEGRADED = "Degraded"
NODE_STATUS_COMPLETE = "NodeStatusComplete"
NODE_STATUS_LIMIT = 500
_NAMES_SHOWN = 3
_FAILED = (NodeStatusValue.ERROR, NodeStatusValue.INSUFFICIENT_STORAGE)
_MOVING = (NodeStatusValue.PENDING, NodeStatusValue.DOWNLOADING, NodeStatusValue.EVICTING)


class NodeCopy(msgspec.Struct, frozen=True, kw_only=True):
    """One node that shall hold the cache, and what its agent says of the copy (None: nothing yet)."""

    node: str
    ready: bool
    report: ModelCopyStatus | None = None
    never_fits: bool = False


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that only a person can mend, found outside the nodes."""

    reason: str
    message: str
    blocks: bool = True


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """All that a status is made from. `wanted_copies` is spec.copies; `refused` is node to reason."""

    generation: int
    declared_bytes: int
    copies: Sequence[NodeCopy]
    wanted_copies: int | None = None
    refused: dict[str, str] = {}
    problems: Sequence[Problem] = ()
    inference_services: tuple[NamespacedName, ...] = ()
    llm_inference_services: tuple[NamespacedName, ...] = ()
    deletion_blockers: Sequence[str] | None = None


def node_status(copy: NodeCopy) -> NodeStatusValue:
    """One node's entry in status.nodeStatus."""
    if copy.never_fits:
        return NodeStatusValue.INSUFFICIENT_STORAGE
    if copy.report is None:
        return NodeStatusValue.PENDING if copy.ready else NodeStatusValue.NOT_READY
    value = NODE_STATUS_OF_STATE[copy.report.state]
    # What a silent node holds is still there; what it was doing is not happening.
    if not copy.ready and value in _MOVING:
        return NodeStatusValue.NOT_READY
    return value


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What all copies come to."""

    by_node: dict[str, NodeStatusValue]
    nodes_of: dict[NodeStatusValue, tuple[str, ...]]
    total: int
    bytes_done: int
    bytes_total: int
    bytes_per_second: int
    resolved_size: int | None
    digest: str
    digests: int

    @property
    def available(self) -> int:
        return len(self.nodes_of.get(NodeStatusValue.DOWNLOADED, ()))

    @property
    def failed(self) -> int:
        return sum(len(self.nodes_of.get(value, ())) for value in _FAILED)


def count_copies(observation: Observation) -> Tally:
    """Sum up the nodes. Only what a report proves counts as done."""
    by_node: dict[str, NodeStatusValue] = {}
    nodes_of: dict[NodeStatusValue, list[str]] = {}
    digests: Counter[str] = Counter()
    resolved = 0
    bytes_done = bytes_total = bytes_per_second = 0
    for copy in observation.copies:
        value = node_status(copy)
        by_node[copy.node] = value
        nodes_of.setdefault(value, []).append(copy.node)
        report = copy.report
        if report is not None:
            resolved = max(resolved, report.bytes_total)
            if value is NodeStatusValue.DOWNLOADING:
                bytes_per_second += report.bytes_per_second
            if report.state is CopyState.DOWNLOADED:
                digests[report.digest] += 1
    expected = resolved or observation.declared_bytes
    for copy in observation.copies:
        report = copy.report
        bytes_total += (report.bytes_total if report is not None else 0) or expected
        if report is not None:
            whole = report.state is CopyState.DOWNLOADED
            bytes_done += (report.bytes_total or report.bytes_done) if whole else report.bytes_done
    del digests[""]
    # The digest that most nodes hold; the smallest of equals, so that the answer is stable.
    digest = min(digests, key=lambda one: (-digests[one], one)) if digests else ""
    return Tally(
        by_node=by_node,
        nodes_of={value: tuple(nodes) for value, nodes in nodes_of.items()},
        total=max(len(by_node), observation.wanted_copies or 0),
        bytes_done=bytes_done,
        bytes_total=bytes_total,
        bytes_per_second=bytes_per_second,
        resolved_size=resolved or None,
        digest=digest,
        digests=len(digests),
    )


def cache_status(previous: LocalModelCacheStatus, observation: Observation, now: float) -> LocalModelCacheStatus:
    """The status to show. Conditions keep their times while nothing changes; observedGeneration never falls."""
    tally = count_copies(observation)
    generation = max(previous.observed_generation, observation.generation)
    truncated = len(tally.by_node) > NODE_STATUS_LIMIT
    shown = {
        node: value for node, value in tally.by_node.items() if not truncated or value is not NodeStatusValue.DOWNLOADED
    }
    conditions = previous.conditions
    for verdict in (_ready(tally, observation), _progressing(tally, observation), _degraded(tally, observation)):
        conditions = set_condition(
            conditions,
            type=verdict.type,
            status=verdict.status,
            reason=verdict.reason,
            message=verdict.message,
            now=now,
            observed_generation=generation,
        )
    conditions = _completeness(conditions, truncated=truncated, nodes=len(tally.by_node), now=now)
    return LocalModelCacheStatus(
        node_status=shown,
        copies=ModelCopies(available=tally.available, total=tally.total, failed=tally.failed),
        inference_services=observation.inference_services,
        llm_inference_services=observation.llm_inference_services,
        conditions=conditions,
        observed_generation=generation,
        # Both stay known while an evicted copy is away.
        resolved_size=tally.resolved_size or previous.resolved_size,
        digest=tally.digest or previous.digest,
        bytes_done=tally.bytes_done,
        bytes_total=tally.bytes_total,
        bytes_per_second=tally.bytes_per_second,
        progress=copies_text(tally.available, tally.total),
        transfer=transfer_text(tally.bytes_done, tally.bytes_total, tally.bytes_per_second),
    )


def _completeness(
    conditions: tuple[Condition, ...], *, truncated: bool, nodes: int, now: float
) -> tuple[Condition, ...]:
    if not truncated:
        return tuple(one for one in conditions if one.type != NODE_STATUS_COMPLETE)
    return set_condition(
        conditions,
        type=NODE_STATUS_COMPLETE,
        status="False",
        reason="TooManyNodes",
        message=f"nodeStatus lists only those of {nodes} nodes that are not NodeDownloaded",
        now=now,
    )


def settled_the_same(old: LocalModelCacheStatus, new: LocalModelCacheStatus) -> bool:
    """Whether two statuses differ only in progress: such a change may wait, so that a download costs few writes."""

    def essence(status: LocalModelCacheStatus) -> object:
        conditions = tuple((one.type, one.status, one.reason) for one in status.conditions)
        services = (status.inference_services, status.llm_inference_services)
        return conditions, services, status.observed_generation

    return essence(old) == essence(new)


def condition_status(status: LocalModelCacheStatus, type: str) -> str:
    """A condition's status: True, False or Unknown."""
    condition = find_condition(status.conditions, type)
    return "Unknown" if condition is None else condition.status


def _some(nodes: Sequence[str]) -> str:
    shown = ", ".join(nodes[:_NAMES_SHOWN])
    return f"{shown} and {len(nodes) - _NAMES_SHOWN} more" if len(nodes) > _NAMES_SHOWN else shown


def _refusals(refused: dict[str, str]) -> str:
    if not refused:
        return ""
    shown = _some([f"{node} ({reason})" for node, reason in sorted(refused.items())])
    return f"; no new copies on {shown}"


def _failure(tally: Tally, observation: Observation) -> Problem | None:
    """The first problem that keeps a copy away."""
    for value, reason, words in (
        (NodeStatusValue.INSUFFICIENT_STORAGE, "InsufficientStorage", "the model can never fit on"),
        (NodeStatusValue.ERROR, "DownloadError", "the download failed, and is retried, on"),
        (NodeStatusValue.NOT_READY, "NodeNotReady", "not ready:"),
    ):
        nodes = tally.nodes_of.get(value, ())
        if nodes:
            return Problem(reason=reason, message=f"{words} {_some(nodes)}{_report_text(observation, nodes[0])}")
    if tally.digests > 1:
        return Problem(reason="DigestMismatch", message=f"nodes hold {tally.digests} different contents", blocks=False)
    if observation.wanted_copies is not None and len(tally.by_node) < observation.wanted_copies:
        message = f"{observation.wanted_copies} copies are wanted, {len(tally.by_node)} nodes take one"
        return Problem(reason="TooFewNodes", message=f"{message}{_refusals(observation.refused)}")
    return None


def _report_text(observation: Observation, node: str) -> str:
    report = next((copy.report for copy in observation.copies if copy.node == node), None)
    if report is None or not (report.message or report.reason):
        return ""
    return f": {report.message or report.reason}"


def _ready(tally: Tally, observation: Observation) -> Condition:
    def false(reason: str, message: str) -> Condition:
        return Condition(type=READY, status="False", reason=reason, message=message)

    if observation.deletion_blockers is not None:
        return false("Deleting", _deleting(observation.deletion_blockers))
    blocking = next((problem for problem in observation.problems if problem.blocks), None)
    if blocking is not None:
        return false(blocking.reason, blocking.message)
    if tally.total == 0:
        return false("NoNodes", f"no node takes the model{_refusals(observation.refused)}")
    if tally.available == tally.total:
        message = f"{tally.available} of {tally.total} nodes hold the model{_refusals(observation.refused)}"
        return Condition(type=READY, status="True", reason="AllCopiesReady", message=message)
    failure = _failure(tally, observation)
    if failure is not None and failure.blocks:
        return false(failure.reason, failure.message)
    count = f"{tally.available} of {tally.total} nodes hold the model"
    evicted, crowded = tally.nodes_of.get(NodeStatusValue.EVICTED, ()), _without_room(observation)
    if not _moving(tally, observation) and evicted:
        return false("Evicted", f"{count}; evicted on {_some(evicted)}{_report_text(observation, evicted[0])}")
    if not _moving(tally, observation) and crowded:
        return false("NoRoom", f"{count}; no room on {_some(crowded)}{_report_text(observation, crowded[0])}")
    return false("Downloading", count)


def _without_room(observation: Observation) -> tuple[str, ...]:
    """The nodes that models of higher rank fill: the model comes there when a pod uses it, not by waiting."""
    return tuple(
        copy.node
        for copy in observation.copies
        if node_status(copy) is NodeStatusValue.PENDING and copy.report is not None and copy.report.reason == "NoRoom"
    )


def _moving(tally: Tally, observation: Observation) -> bool:
    """Whether some copy is on its way, or is about to be."""
    on_the_way = sum(len(tally.nodes_of.get(value, ())) for value in _MOVING)
    return on_the_way > len(_without_room(observation))


def _progressing(tally: Tally, observation: Observation) -> Condition:
    if observation.deletion_blockers is not None:
        message = _deleting(observation.deletion_blockers)
        return Condition(type=PROGRESSING, status="True", reason="Deleting", message=message)
    for value, reason in (
        (NodeStatusValue.DOWNLOADING, "Downloading"),
        (NodeStatusValue.PENDING, "Pending"),
        (NodeStatusValue.EVICTING, "Evicting"),
    ):
        if tally.nodes_of.get(value) and _moving(tally, observation):
            amount = f"{format_bytes(tally.bytes_done)} of {format_bytes(tally.bytes_total)}"
            message = f"{tally.available} of {tally.total} nodes hold the model; {amount}"
            return Condition(type=PROGRESSING, status="True", reason=reason, message=message)
    reason, message = "Complete", "nothing left to do"
    if tally.total == 0 or tally.available < tally.total:
        reason, message = "Waiting", "nothing can be done now; see Ready"
    return Condition(type=PROGRESSING, status="False", reason=reason, message=message)


def _degraded(tally: Tally, observation: Observation) -> Condition:
    problem = next(iter(observation.problems), None) or _failure(tally, observation)
    if problem is None or observation.deletion_blockers is not None:
        return Condition(type=DEGRADED, status="False", reason="AsExpected", message="")
    return Condition(type=DEGRADED, status="True", reason=problem.reason, message=problem.message)


def _deleting(blockers: Sequence[str]) -> str:
    return f"waiting for {'; '.join(blockers[:_NAMES_SHOWN])}" if blockers else "being deleted"
