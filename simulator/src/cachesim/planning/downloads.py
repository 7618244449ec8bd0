"""The transfers of all nodes of a plan: each is one flow from the object store to a node."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cachesim.network import Link, Network
from cachesim.planning.copies import Copy
from cachesim.planning.journal import Journal
from cachesim.runtime import SimpyRuntime, SimpyTask

# What a download costs beside its bytes: the agent hears of it, verifies, publishes and reports.
FETCH_OVERHEAD_SECONDS = 0.7
# So many round trips to the object store pass before the first byte of a model: the listing, the first part.
ROUND_TRIPS = 2


class _Download:
    """One that is on its way. `kept`: when it is stopped, what has come stays on the disk."""

    __slots__ = ("began", "demanded", "kept", "task")

    def __init__(self, began: float, *, demanded: bool) -> None:
        self.began = began
        self.demanded = demanded
        self.kept = True
        self.task: SimpyTask[None] | None = None


class Downloads:
    """Begins and stops them, and tells `on_arrival` of each whose bytes have all come."""

    def __init__(
        self,
        runtime: SimpyRuntime,
        network: Network,
        journal: Journal,
        *,
        storage: Link,
        links: Sequence[Link],
        latency_seconds: float,
        on_arrival: Callable[[int, Copy], None],
    ) -> None:
        self._runtime = runtime
        self._network = network
        self._journal = journal
        self._storage = storage
        self._links = links
        self._wait_seconds = FETCH_OVERHEAD_SECONDS + ROUND_TRIPS * latency_seconds
        self._on_arrival = on_arrival
        self._running: dict[tuple[int, int], _Download] = {}

    def begin(self, node: int, copy: Copy, *, demanded: bool) -> None:
        download = _Download(self._runtime.monotonic(), demanded=demanded)
        self._running[node, copy.kind.number] = download
        download.task = self._runtime.spawn(self._fetch(node, copy, download), name=f"{copy.kind.name} to {node}")

    def stop(self, node: int, copy: Copy, *, keep: bool) -> None:
        """Give it up, at this moment; nothing happens when there is none."""
        download = self._running.pop((node, copy.kind.number), None)
        if download is not None and download.task is not None:
            download.kept = keep
            if keep:
                # How much has come is known once the task has ended, in a moment; that something has, counts at once.
                copy.left_bytes = min(copy.left_bytes, copy.kind.size_bytes - 1.0)
            download.task.cancel()

    def stop_all(self) -> None:
        """The plan is over: what has moved by now is noted."""
        for download in self._running.values():
            if download.task is not None:
                download.task.cancel()
        self._running.clear()

    async def _fetch(self, node: int, copy: Copy, download: _Download) -> None:
        size_bytes = copy.left_bytes
        rest_bytes = size_bytes

        def cut(left_bytes: float) -> None:
            nonlocal rest_bytes
            rest_bytes = left_bytes

        try:
            await self._runtime.sleep(self._wait_seconds)
            await self._network.transfer(self._runtime, size_bytes, self._storage, self._links[node], on_cut=cut)
            rest_bytes = 0.0
        finally:
            if download.kept:
                copy.left_bytes = rest_bytes
            self._journal.fetch(
                download.began,
                self._runtime.monotonic(),
                node,
                copy.kind,
                size_bytes - rest_bytes,
                demanded=download.demanded,
            )
        del self._running[node, copy.kind.number]
        self._on_arrival(node, copy)
