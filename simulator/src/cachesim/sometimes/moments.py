"""Situations that are a fault at a certain moment: while a model is on its way, a cache goes, or a pod runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from cachecore.store.layout import STAGING_PATH
from cachesim.disk_file import File
from cachesim.faults.kinds import What
from cachesim.simulation.world import World

# How much of a download is there when it is nearly done.
_NEARLY = 0.9


class Moment(msgspec.Struct, frozen=True):
    """A fault of this kind while something holds of its target ("" for the whole cluster)."""

    words: str
    what: What
    holds: Callable[[World, str], bool]


def downloading(world: World, node: str) -> bool:
    """Whether a model is on its way, to this node or to any."""
    names = [node] if node else list(world.disks)
    return any(_staged(world, name) for name in names)


def nearly_there(world: World, node: str) -> bool:
    """Whether a download of the node has nine tenths of its parts."""
    for files in _staged(world, node).values():
        if isinstance(files, dict):
            there = [file for file in _files(files) if file.content is None]
            total_bytes = sum(file.size_bytes for file in there)
            done_bytes = sum(length for file in there for length, _ in file.parts.values())
            if total_bytes and done_bytes >= _NEARLY * total_bytes:
                return True
    return False


def holds_copies(world: World, node: str) -> bool:
    return bool(world.published_keys(node))


def serves(world: World, node: str) -> bool:
    """Whether a pod runs on the node."""
    return any(mount.node == node for mount in world.mounts)


def deleting(world: World, _: str) -> bool:
    """Whether a cache is on its way out."""
    return any(cache["metadata"].get("deletionTimestamp") for cache in world.caches())


def _staged(world: World, node: str) -> dict[str, Any]:
    found = world.disks[node].find(STAGING_PATH)
    return found if isinstance(found, dict) else {}


def _files(directory: dict[str, Any]) -> list[File]:
    found: list[File] = []
    for child in directory.values():
        found += [child] if isinstance(child, File) else _files(child)
    return found


MOMENTS: dict[str, Moment] = {
    "410-during-download": Moment("the history was compacted during a download", "watches-expired", downloading),
    "watches-cut-during-download": Moment("all watches broke during a download", "watches-cut", downloading),
    "api-down-during-download": Moment("nobody heard of a download that ended", "api-down", downloading),
    "api-down-during-deletion": Moment("the API server went as a cache was deleted", "api-down", deleting),
    "api-errors-during-deletion": Moment("the API server failed as a cache was deleted", "api-errors", deleting),
    "answers-lost-during-deletion": Moment("answers were lost as a cache was deleted", "answers-lost", deleting),
    "partition-during-download": Moment("an agent downloaded, cut off from the API", "partition", downloading),
    "news-late-during-download": Moment("watches stood still during a download", "watches-late", downloading),
    "news-dropped-during-download": Moment("watch events were lost during a download", "events-dropped", downloading),
    "news-repeated-during-download": Moment("events came twice during a download", "events-repeated", downloading),
    "node-lost-during-download": Moment("a node lost power with a model on its way", "node-lost", downloading),
    "node-deleted-with-pods": Moment("a Node was deleted under a running pod", "node-deleted", serves),
    "power-lost-during-download": Moment("unsynced parts of a download were lost", "power-loss", downloading),
    "power-lost-with-copies": Moment("power was lost with models published", "power-loss", holds_copies),
    "node-silent-with-pods": Moment("a node fell silent and served on", "node-silent", serves),
    "clock-jumped-with-copies": Moment("a clock jumped where uses are noted", "clock-skew", holds_copies),
    "agent-crash-during-download": Moment("an agent died in the middle of a download", "agent-crash", downloading),
    "agent-paused-during-download": Moment("an agent stood still during a download", "agent-paused", downloading),
    "manager-crash-during-deletion": Moment("a manager died as a cache was deleted", "manager-crash", deleting),
    "upgrade-during-download": Moment("all processes were replaced during a download", "rolling-upgrade", downloading),
    "disk-full-during-download": Moment("a foreign writer took the room of a download", "disk-full", downloading),
    "disk-full-at-the-end": Moment("ENOSPC with nine tenths of a download there", "disk-full", nearly_there),
    "disk-failing-during-download": Moment("EIO during a download", "disk-failing", downloading),
    "disk-read-only-during-download": Moment("EROFS during a download", "disk-read-only", downloading),
    "bit-flip-during-download": Moment("a byte changed in a download", "bit-flip", downloading),
    "storage-down-during-download": Moment("the object store went during a download", "storage-down", downloading),
    "storage-throttled-during-download": Moment("SlowDown during a download", "storage-throttled", downloading),
    "storage-slow-during-download": Moment("a download became slow", "storage-slow", downloading),
    "storage-stalled-during-download": Moment("a download stalled", "storage-stalled", downloading),
    "storage-truncated-during-download": Moment("replies ended early", "storage-truncated", downloading),
    "storage-corrupt-during-download": Moment("other bytes came than were sent", "storage-corrupt", downloading),
    "object-changed-during-download": Moment("objects were replaced during a download", "object-changed", downloading),
    "credentials-expired-during-download": Moment("a token expired on the way", "credentials-expired", downloading),
}
