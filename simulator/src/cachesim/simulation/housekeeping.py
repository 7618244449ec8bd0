"""What a simulated cluster does while nothing happens: all that a real one does, or next to nothing.

`quiet` is for long stretches of time. It sets what production has options for: how often an agent looks at its disk,
how often informers tell what is known already, whether managers elect a leader. In the simulated world around it the
API server lets watches last, and kubelets are heard of without a write (`cachesim.node.heartbeats`).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from cachesim.node.lifecycle import LifecycleOptions
from cachesim.node.options import NodeOptions

Mode = Literal["full", "quiet"]

_DAY_SECONDS = 86_400.0


class Housekeeping(msgspec.Struct, frozen=True, kw_only=True):
    """What differs from the defaults of each. `watch_seconds_min` is how long watches last, whatever is asked for."""

    agent: dict[str, Any] = {}
    manager: dict[str, Any] = {}
    webhook: dict[str, Any] = {}
    node: NodeOptions = NodeOptions()
    lifecycle: LifecycleOptions = LifecycleOptions()
    resync_seconds: float = 600.0
    watch_seconds_min: float = 0.0
    bookmark_seconds: float = 60.0
    writes_heartbeats: bool = True


_FULL = Housekeeping()
_QUIET = Housekeeping(
    agent={
        "rescan_seconds": 7 * _DAY_SECONDS,
        "remember_seconds": 3600.0,
        "progress_seconds": 60.0,
        "resync_seconds": 0.0,
    },
    manager={"resync_seconds": 0.0, "leader_election": False, "progress_interval_seconds": 60.0},
    webhook={"resync_seconds": 0.0},
    node=NodeOptions(resync_seconds=0.0),
    lifecycle=LifecycleOptions(resync_seconds=0.0),
    resync_seconds=0.0,
    watch_seconds_min=365 * _DAY_SECONDS,
    bookmark_seconds=30 * _DAY_SECONDS,
    writes_heartbeats=False,
)


def housekeeping(mode: Mode) -> Housekeeping:
    return _FULL if mode == "full" else _QUIET
