"""Every kind of fault: where it can strike, and what it does."""

from __future__ import annotations

import enum
from typing import Literal, TypeAlias

import msgspec

What: TypeAlias = Literal[
    # At a site: one call of one process.
    "crash-before",
    "crash-after",
    "error",
    "answer-lost",
    "conflict",
    "too-many-requests",
    "delay",
    "stale",
    # Processes and nodes.
    "agent-crash",
    "agent-paused",
    "manager-crash",
    "manager-paused",
    "rolling-upgrade",
    "webhook-down",
    "node-lost",
    "node-deleted",
    "node-silent",
    "power-loss",
    "clock-skew",
    # The API server, and the way to it.
    "partition",
    "api-down",
    "api-errors",
    "answers-lost",
    "watches-cut",
    "watches-expired",
    "watches-late",
    "events-dropped",
    "events-repeated",
    # Disks.
    "disk-full",
    "disk-failing",
    "disk-read-only",
    "bit-flip",
    "copy-lost",
    "copy-damaged",
    # The object store.
    "storage-down",
    "storage-throttled",
    "storage-slow",
    "storage-stalled",
    "storage-truncated",
    "storage-corrupt",
    "object-changed",
    "credentials-expired",
]


class Scope(enum.StrEnum):
    """What a fault strikes: the process that makes a call, a node, one manager, or the whole cluster."""

    CALL = "call"
    NODE = "node"
    MANAGER = "manager"
    CLUSTER = "cluster"


class Kind(msgspec.Struct, frozen=True):
    """`lasting_seconds` is how long it lasts when a plan does not say."""

    scope: Scope
    words: str
    lasting_seconds: float = 0.0
    writes: bool = True
    reads: bool = True


KINDS: dict[What, Kind] = {
    "crash-before": Kind(Scope.CALL, "the process dies just before the call, and starts again", 5.0),
    "crash-after": Kind(Scope.CALL, "the call is carried out; the process dies before it has the answer", 5.0),
    "error": Kind(
        Scope.CALL, "the call fails and does nothing: 500 of the API, EIO of a disk, 503 of the object store"
    ),
    "answer-lost": Kind(Scope.CALL, "the call is carried out, and its caller is told that it failed"),
    "conflict": Kind(Scope.CALL, "the API answers 409: somebody else has just written", reads=False),
    "too-many-requests": Kind(Scope.CALL, "the API answers 429, come again in two seconds"),
    "delay": Kind(Scope.CALL, "the call waits before it is carried out", 20.0),
    "stale": Kind(Scope.CALL, "from this call on the process sees nothing new in its watches", 20.0),
    "agent-crash": Kind(Scope.NODE, "the agent's process dies", 10.0),
    "agent-paused": Kind(
        Scope.NODE, "the agent's process stands still, and goes on later as if nothing had been", 40.0
    ),
    "manager-crash": Kind(Scope.MANAGER, "the manager's process dies", 10.0),
    "manager-paused": Kind(
        Scope.MANAGER, "the manager stands still longer than its lease, then goes on: two leaders", 40.0
    ),
    "rolling-upgrade": Kind(Scope.CLUSTER, "every agent and every manager is started anew, one after the other", 5.0),
    "webhook-down": Kind(Scope.CLUSTER, "no admission: pods are created as they are", 30.0),
    "node-lost": Kind(Scope.NODE, "power off and on; the Node object stays", 60.0),
    "node-deleted": Kind(Scope.NODE, "power off, the Node object is deleted, then power on", 60.0),
    "node-silent": Kind(Scope.NODE, "the kubelet says nothing; the agent works on", 90.0),
    "power-loss": Kind(Scope.NODE, "power off at once: what was not synced is lost", 30.0),
    "clock-skew": Kind(Scope.NODE, "the node's wall clock is an hour ahead", 120.0),
    "partition": Kind(Scope.NODE, "the node's agent does not reach the API server", 60.0),
    "api-down": Kind(Scope.CLUSTER, "the API server answers nobody", 45.0),
    "api-errors": Kind(Scope.CLUSTER, "every third call is answered 500, and did nothing", 45.0),
    "answers-lost": Kind(Scope.CLUSTER, "every third write is carried out and answered by a timeout", 45.0),
    "watches-cut": Kind(Scope.CLUSTER, "every watch breaks"),
    "watches-expired": Kind(Scope.CLUSTER, "the history is compacted and every watch breaks: 410"),
    "watches-late": Kind(Scope.CLUSTER, "watches deliver nothing; what they held comes later", 30.0),
    # No API server loses an event in silence: who might have missed one is told to list again.
    "events-dropped": Kind(Scope.CLUSTER, "every second watch event is lost, until the watches break with a 410", 20.0),
    "events-repeated": Kind(Scope.CLUSTER, "every watch event comes twice", 30.0),
    "disk-full": Kind(Scope.NODE, "a foreign writer takes all the room that is left", 60.0),
    "disk-failing": Kind(Scope.NODE, "every call of the disk fails: EIO", 30.0),
    "disk-read-only": Kind(Scope.NODE, "every write fails: EROFS", 30.0),
    # While it works, an agent believes what it has written: bit rot is for `localmodel verify` to find.
    "bit-flip": Kind(Scope.NODE, "the agent dies; meanwhile a byte of an unfinished download changes on the disk", 5.0),
    "copy-lost": Kind(Scope.NODE, "somebody removes the files of a published copy that no pod has mounted"),
    "copy-damaged": Kind(Scope.NODE, "somebody cuts a file of a published copy off that no pod has mounted"),
    "storage-down": Kind(Scope.CLUSTER, "the object store answers 503", 45.0),
    "storage-throttled": Kind(Scope.CLUSTER, "the object store answers SlowDown to every second request", 45.0),
    "storage-slow": Kind(
        Scope.CLUSTER, "the object store has a twentieth of its bandwidth, or the `share` that the fault says", 60.0
    ),
    "storage-stalled": Kind(Scope.CLUSTER, "requests that are under way get no more bytes, until they time out", 30.0),
    "storage-truncated": Kind(Scope.CLUSTER, "every second part ends early", 30.0),
    "storage-corrupt": Kind(Scope.CLUSTER, "every second part arrives with other bytes than were sent", 30.0),
    "object-changed": Kind(Scope.CLUSTER, "the objects of a model are replaced by other versions"),
    "credentials-expired": Kind(Scope.CLUSTER, "the object store refuses the credentials", 45.0),
}
