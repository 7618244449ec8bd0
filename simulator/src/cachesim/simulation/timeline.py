"""A simulated run as spans and points over virtual time: what a report draws and what may be written as JSON.

Times are seconds since the run began. A span that had not ended when the run did ends with it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

CopyState = Literal["downloading", "held", "in use", "evicting"]
DownloadEnd = Literal["published", "given up", "unfinished"]


class CopySpan(msgspec.Struct, frozen=True, kw_only=True):
    """One copy in one state: what the node's disk and its pods say, not what the agent reports."""

    model: str
    state: CopyState
    begin_seconds: float
    end_seconds: float


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """A process, or the machine under it, that did not run: `what` is agent, node, or a manager's name."""

    what: str
    begin_seconds: float
    end_seconds: float


class DiskPoint(msgspec.Struct, frozen=True, array_like=True):
    """From this moment on so many bytes of the disk were taken."""

    seconds: float
    used_bytes: int


class CopiesPoint(msgspec.Struct, frozen=True, array_like=True):
    """From this moment on so many nodes held the model."""

    seconds: float
    copies: int


class NodeLane(msgspec.Struct, frozen=True, kw_only=True):
    """What happened on one node. Disk use is exact to a thousandth of the disk."""

    name: str
    copies: tuple[CopySpan, ...]
    disk: tuple[DiskPoint, ...]
    outages: tuple[Outage, ...]


class ModelLine(msgspec.Struct, frozen=True, kw_only=True):
    """One model over the whole cluster."""

    name: str
    size_bytes: int
    copies: tuple[CopiesPoint, ...]


class PodLife(msgspec.Struct, frozen=True, kw_only=True):
    """A pod. `hit`: whether its model was on the node when it was bound there; None when its model is not cached."""

    name: str
    model: str
    node: str
    created_seconds: float
    bound_seconds: float | None
    ready_seconds: float | None
    ended_seconds: float | None
    hit: bool | None


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """From the first byte of staging to the rename that publishes, or to the end of the attempt; over crashes."""

    node: str
    model: str
    begin_seconds: float
    end_seconds: float
    ended: DownloadEnd


class EvictionMark(msgspec.Struct, frozen=True, kw_only=True):
    """A published copy was taken away."""

    node: str
    model: str
    seconds: float


class FaultSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A fault; without an end when it struck once and was over. `node` is "" when it concerns the cluster."""

    words: str
    node: str
    begin_seconds: float
    end_seconds: float | None


class ViolationMark(msgspec.Struct, frozen=True, kw_only=True):
    """A broken invariant. `node` is "" when its message names none."""

    invariant: str
    message: str
    node: str
    seconds: float


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run. Watermarks are percents of the limit."""

    end_seconds: float
    disk_bytes: int
    limit_bytes: int
    high_watermark: int
    low_watermark: int
    nodes: tuple[NodeLane, ...]
    models: tuple[ModelLine, ...]
    outages: tuple[Outage, ...]
    pods: tuple[PodLife, ...]
    faults: tuple[FaultSpan, ...]
    violations: tuple[ViolationMark, ...]
    downloads: tuple[Download, ...]
    evictions: tuple[EvictionMark, ...]
