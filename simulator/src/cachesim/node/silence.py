"""Who has not been heard of for too long. Time is that of the listener: clocks of nodes may be wrong."""

from __future__ import annotations

from collections.abc import Collection

from cachecore.resources.core import Lease, Node, NodeCondition
from cachecore.resources.meta import JsonObject

_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


class Ears:
    """Remembers when each node last said something new: by its lease, or by its status."""

    def __init__(self, grace_seconds: float, startup_grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._startup_grace_seconds = startup_grace_seconds
        self._heard: dict[str, tuple[float, str, str]] = {}

    def is_silent(self, node: Node, lease: Lease | None, now: float, *, age_seconds: float) -> bool:
        """Whether the node has been silent for longer than it may. `now` is monotonic."""
        ready = next((one for one in node.status.conditions if one.type == "Ready"), None)
        renewed = (lease.spec.renew_time if lease else None) or ""
        beat = (ready.last_heartbeat_time if ready else None) or ""
        before = self._heard.get(node.uid)
        if before is None:
            # The first look: a node without status has had its time since it was made.
            since = now if ready is not None else now - age_seconds
            self._heard[node.uid] = (since, renewed, beat)
        elif renewed > before[1] or beat != before[2]:
            self._heard[node.uid] = (now, renewed, beat)
        grace = self._grace_seconds if ready is not None else self._startup_grace_seconds
        return now - self._heard[node.uid][0] > grace

    def start_anew(self, now: float) -> None:
        """Everybody gets the time to be heard again: it was us who heard nobody."""
        self._heard = {uid: (now, renewed, beat) for uid, (_, renewed, beat) in self._heard.items()}

    def forget_all_but(self, uids: Collection[str]) -> None:
        self._heard = {uid: heard for uid, heard in self._heard.items() if uid in uids}


def unknown_conditions(node: Node, stamp: str) -> list[JsonObject]:
    """The node's conditions, when nobody knows them any more. Those that a control plane sets stay."""
    before = {one.type: one for one in node.status.conditions}
    conditions = [_as_it_is(one) for one in node.status.conditions if one.type not in _CONDITIONS]
    for kind in _CONDITIONS:
        known = before.get(kind)
        if known is None:
            conditions.append(
                {
                    "type": kind,
                    "status": "Unknown",
                    "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                    "lastHeartbeatTime": node.metadata.creation_timestamp,
                    "lastTransitionTime": stamp,
                }
            )
        elif known.status == "Unknown":
            conditions.append(_as_it_is(known))
        else:
            conditions.append(
                {
                    "type": kind,
                    "status": "Unknown",
                    "reason": "NodeStatusUnknown",
                    "message": "Kubelet stopped posting node status.",
                    "lastHeartbeatTime": known.last_heartbeat_time,
                    "lastTransitionTime": stamp,
                }
            )
    return conditions


def _as_it_is(condition: NodeCondition) -> JsonObject:
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastHeartbeatTime": condition.last_heartbeat_time,
        "lastTransitionTime": condition.last_transition_time,
    }
