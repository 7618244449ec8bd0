"""Writing LocalModelNode.status: at once when something matters, progress now and then, otherwise nothing."""

from __future__ import annotations

import msgspec

from cacheagent.metrics import AgentMetrics
from cacheagent.status import without_progress
from cachecore.errors import Conflict
from cachecore.ports import ClusterClient, Runtime
from cachecore.resources.serving import LocalModelNode, LocalModelNodeStatus

CONFLICTS_MAX = 5


class Reporter:
    """The only writer of this node's status."""

    def __init__(
        self, runtime: Runtime, client: ClusterClient, metrics: AgentMetrics, *, progress_seconds: float
    ) -> None:
        self._runtime = runtime
        self._client = client
        self._metrics = metrics
        self._progress_seconds = progress_seconds
        self._written: LocalModelNode | None = None
        self._written_at_seconds = 0.0

    def newest(self, seen: LocalModelNode) -> LocalModelNode:
        """What the watch has shown, or our own last write when the watch is behind it."""
        written = self._written
        if written is None or written.uid != seen.uid:
            return seen
        ours, theirs = written.metadata.resource_version, seen.metadata.resource_version
        if ours.isdigit() and theirs.isdigit() and int(theirs) > int(ours):
            return seen
        return written

    async def write(self, seen: LocalModelNode, status: LocalModelNodeStatus) -> float | None:
        """Write what differs; answer in how many seconds the rest is due, None when all is written.

        Raises `ApiError`: `Conflict` when the object has been replaced by another one of the same name.
        """
        newest = self.newest(seen)
        if newest.status == status:
            return None
        wait = self._written_at_seconds + self._progress_seconds - self._runtime.monotonic()
        if wait > 0 and without_progress(newest.status) == without_progress(status):
            return wait
        for _ in range(CONFLICTS_MAX):
            # The generation acted on never falls, whichever order watches and writes have.
            generation = max(status.observed_generation, newest.status.observed_generation)
            whole = msgspec.structs.replace(
                newest, status=msgspec.structs.replace(status, observed_generation=generation)
            )
            try:
                self._written = await self._client.update_status(whole)
            except Conflict:
                newest = await self._client.get(LocalModelNode, seen.name)
                if newest.uid != seen.uid:
                    raise
            else:
                self._written_at_seconds = self._runtime.monotonic()
                self._metrics.status_writes.inc()
                return None
        raise Conflict(f"the status of LocalModelNode {seen.name} changed {CONFLICTS_MAX} times under the write")
