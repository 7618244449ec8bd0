"""L6, as far as it takes memory: how often a source is asked for one model, and what agents count of it.

The bounds are generous: a person edits a cache, an agent starts anew, a source changes while it is read, and each time
everything may be tried at once. Beyond them there is no backoff for sure, or one that has not begun anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from cachecore.store.layout import published_path
from cachesim.apiserver.store import Change
from cachesim.disk import DiskEvent
from cachesim.simulation.world import World, published_key

Fail = Callable[[str, str], None]

WINDOW_SECONDS = 60.0
# With a first delay of 2 s that doubles, six attempts fit the window; each may list a source that changes three times,
# and an agent that starts anew knows nothing of those before.
LISTINGS_MAX = 40
# Five times in each attempt, thrice if the bytes are not the source's.
PART_MOVES_MAX = 120
# What an agent wrote just before a copy came may arrive just after.
SETTLE_SECONDS = 60.0
# An attempt that fails as these are read asks no source.
_CREDENTIALS = ("ServiceAccount/", "Secret/", "ConfigMap/")


class Attempts:
    """Told of each request to a source, each status of an agent, and each copy that comes."""

    def __init__(self, world: World, fail: Fail) -> None:
        self._world = world
        self._fail = fail
        self._listings: dict[tuple[str, str], deque[float]] = {}
        self._moves: dict[tuple[str, str, int], deque[float]] = {}
        # By (node, model): requests to the source since the last copy came; by node: reads of credentials.
        self._requests: dict[tuple[str, str], int] = {}
        self._reads: dict[str, int] = {}
        self._reads_before: dict[tuple[str, str], int] = {}
        self._came_at: dict[tuple[str, str], float] = {}

    def requested(self, process: str, verb: str, subject: str) -> None:
        """A call of a port is about to be made: `agent/n1`, `find`, `source/llama`."""
        kind, _, node = process.partition("/")
        if kind != "agent":
            return
        if verb == "get" and subject.startswith(_CREDENTIALS):
            self._reads[node] = self._reads.get(node, 0) + 1
        elif verb == "find":
            model = subject.partition("/")[2]
            self._requests[node, model] = self._requests.get((node, model), 0) + 1
            if self._too_many(self._listings.setdefault((node, model), deque()), LISTINGS_MAX):
                self._fail("L6", f"{node}: {model} was asked for more than {LISTINGS_MAX} times in a minute")

    def part_started(self, node: str, path: str, offset_bytes: int) -> None:
        if self._too_many(self._moves.setdefault((node, path, offset_bytes), deque()), PART_MOVES_MAX):
            self._fail("L6", f"{node}: {path} at {offset_bytes} was asked for over {PART_MOVES_MAX} times in a minute")

    def disk_changed(self, node: str, event: DiskEvent) -> None:
        key = published_key(event.target)
        if event.verb == "rename" and key and event.target == published_path(key):
            for moves in [place for place in self._moves if place[0] == node and key in place[1]]:
                del self._moves[moves]
            model = self._world.model_name(key)
            self._requests[node, model] = 0
            self._reads_before[node, model] = self._reads.get(node, 0)
            self._came_at[node, model] = self._world.now()

    def api_changed(self, change: Change) -> None:
        """Agents may not count more attempts than there were since the last success."""
        if change.resource_type.plural != "localmodelnodes" or change.type == "DELETED":
            return
        status, node = change.item.get("status") or {}, change.item["metadata"]["name"]
        if status is (change.previous or {}).get("status"):
            return
        for copy in status.get("models", ()):
            model = self._world.model_name(copy["key"])
            reads = self._reads.get(node, 0) - self._reads_before.get((node, model), 0)
            if self._world.now() - self._came_at.get((node, model), -SETTLE_SECONDS) < SETTLE_SECONDS:
                continue
            made = self._requests.get((node, model), 0) + reads
            # Between its rename and its report a copy has come, and its attempts are still told.
            if copy["state"] == "DownloadError" and copy.get("attempts", 0) > made:
                self._fail("L6", f"{node}: {model} counts {copy['attempts']} attempts since it came last, of {made}")

    def _too_many(self, moments: deque[float], most: int) -> bool:
        now = self._world.now()
        moments.append(now)
        while moments[0] < now - WINDOW_SECONDS:
            moments.popleft()
        return len(moments) > most
