"""What is written while the world should come to rest, and what comes and goes in it for nothing: L5 and L7."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

import msgspec

from cachecore.store.layout import published_path
from cachesim.apiserver.store import Change
from cachesim.disk import DiskEvent
from cachesim.simulation.world import published_key

# Evictions of one copy from one node in the time of convergence: the first may make room, more are a loop.
EVICTIONS_MAX = 3
_WRITES_KEPT = 200
_WRITES_SHOWN = 6
# Heartbeats of the control plane, and words for people: a cluster at rest has them too.
_NEVER_COUNTED = frozenset({"leases", "events"})

_Said = Callable[[str, str], None]


class Write(msgspec.Struct, frozen=True):
    """Something that was written, in words."""

    seconds: float
    words: str


class Activity:
    """What has been written lately: told of every change, answers since when the world is quiet."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._writes: deque[Write] = deque(maxlen=_WRITES_KEPT)
        self.quiet_since = now()

    def api_changed(self, change: Change) -> None:
        """A write that the API server has taken; heartbeats don't count."""
        plural = change.resource_type.plural
        if plural in _NEVER_COUNTED or (plural == "nodes" and _is_heartbeat(change)):
            return
        metadata = change.item["metadata"]
        place = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
        parts = _changed_parts(change)
        self._note(f"{change.type.lower()} {plural} {place}{metadata['name']}{f' ({parts})' if parts else ''}")

    def disk_changed(self, node: str, event: DiskEvent) -> None:
        """A change of a node's disk, whatever it is."""
        self._note(f"{node}: {event.verb} {event.path}{f' to {event.target}' if event.target else ''}")

    def requested(self, process: str, verb: str, subject: str) -> None:
        """A write was asked for that may have changed nothing: it costs as much."""
        self._note(f"{process}: {verb} {subject}")

    def writes(self, since: float) -> list[str]:
        """What was written since then, in words, the most frequent first; bounded."""
        counts = Counter(write.words for write in self._writes if write.seconds >= since)
        shown = [words if count == 1 else f"{words}, {count} times" for words, count in counts.most_common()]
        return shown[:_WRITES_SHOWN]

    def _note(self, words: str) -> None:
        self.quiet_since = self._now()
        self._writes.append(Write(self.quiet_since, words))


def _is_heartbeat(change: Change) -> bool:
    """Whether nothing of a Node has changed but what its kubelet says every so often."""
    previous = change.previous
    if previous is None or change.type == "DELETED":
        return False
    old, new = previous["metadata"], change.item["metadata"]
    same = all(old.get(field) == new.get(field) for field in ("labels", "annotations", "uid", "deletionTimestamp"))
    return same and previous.get("spec") == change.item.get("spec") and _ready(previous) == _ready(change.item)


def _ready(node: dict[str, object]) -> object:
    status = node.get("status")
    conditions = status.get("conditions", ()) if isinstance(status, dict) else ()
    return [(one["type"], one["status"]) for one in conditions]


def _changed_parts(change: Change) -> str:
    if change.previous is None or change.type == "DELETED":
        return ""
    fields = dict.fromkeys([*change.previous, *change.item])
    return ", ".join(one for one in fields if change.previous.get(one) != change.item.get(one) and one != "metadata")


class Turnover:
    """The copies that come and go. `evicted` is every (node, key) that ever went."""

    def __init__(self, fail: _Said) -> None:
        self._fail = fail
        self._since_healed: Counter[tuple[str, str]] = Counter()
        self._healed = False
        self.evicted: dict[tuple[str, str], None] = {}
        # Nodes whose disk was once replaced: what was on the new one may have any history.
        self.replaced: dict[str, None] = {}

    def healed(self) -> None:
        """From now on demand is constant."""
        self._healed = True

    def disk_changed(self, node: str, event: DiskEvent) -> None:
        if event.verb in ("wipe", "harm"):
            self.replaced[node] = None
        key = published_key(event.path)
        if event.verb != "rename" or not key or event.path != published_path(key):
            return
        self.evicted[node, key] = None
        if self._healed:
            self._since_healed[node, key] += 1
            count = self._since_healed[node, key]
            if count > EVICTIONS_MAX:
                self._fail("L7", f"{node}: {key} comes and goes at constant demand, more than {EVICTIONS_MAX} times")
