"""Bandwidth that flows share fairly: S3, the nodes' network cards, their disks.

A flow is a number of bytes over some links. Rates are max-min fair (progressive filling: Bertsekas and Gallager, Data
Networks, 6.5.2): all rates grow together until a link is full, its flows freeze, the rest grow on. Rates change only
when a flow starts or ends, so the simulation costs one event per change and nothing per chunk. Flows over the same
links have the same rate, and are reckoned with as one group.
"""

from __future__ import annotations

import collections
import heapq
import math
from collections.abc import Callable, Mapping

import msgspec

from cachecore.ports import Runtime, Signal

# A flow whose rest is below this has arrived: float error must not leave a millionth of a byte to wait for.
_ARRIVED_BYTES = 1e-3
# Shares that differ by less are the same: links fill together, whatever order their flows were added up in.
_SAME_SHARE = 1e-12


class FlowBroken(Exception):
    """A flow has ended before all its bytes had come."""


class Link(msgspec.Struct, eq=False):
    """Something that carries at most `bytes_per_second`, over all its flows."""

    name: str
    bytes_per_second: float


class _Flow:
    """One transfer in progress: it is over when each flow of its group has been served `until_bytes`."""

    __slots__ = ("arrived", "broken", "over", "until_bytes")

    def __init__(self, until_bytes: float, arrived: Signal) -> None:
        self.until_bytes = until_bytes
        self.arrived = arrived
        self.over = False
        self.broken = False


class _Group:
    """All flows over the same links, which have the same rate. What one of them has been served is counted once.

    `served_bytes` is true as of `settled_seconds`; `due_seconds` is when the next flow arrives.
    """

    __slots__ = ("due_seconds", "flows", "links", "living", "rate", "served_bytes", "settled_seconds")

    def __init__(self, links: tuple[Link, ...], now: float) -> None:
        self.links = links
        self.flows: list[tuple[float, int, _Flow]] = []
        self.living = 0
        self.rate = 0.0
        self.served_bytes = 0.0
        self.settled_seconds = now
        self.due_seconds = math.inf

    def settle(self, now: float) -> float:
        """Account for what has moved at the present rate; answer how much that was."""
        served = self.rate * (now - self.settled_seconds)
        self.served_bytes += served
        self.settled_seconds = now
        return served * self.living

    def reckon(self) -> None:
        """When the first flow arrives, from now on."""
        while self.flows and self.flows[0][2].over:
            heapq.heappop(self.flows)
        self.due_seconds = math.inf
        if self.flows and self.rate > 0:
            rest_bytes = max(self.flows[0][0] - self.served_bytes, 0.0)
            # A nanosecond more than computed, so that rounding never wakes us just before an arrival, over and over.
            self.due_seconds = self.settled_seconds + rest_bytes / self.rate + 1e-9


def fair_rates(flows: list[tuple[Link, ...]]) -> list[float]:
    """The max-min fair rate of each flow, given the links that each one uses, in bytes per second."""
    rates = _rates_of(collections.Counter(flows))
    return [rates[links] for links in flows]


def _rates_of(counts: Mapping[tuple[Link, ...], int]) -> dict[tuple[Link, ...], float]:
    """The rate of each flow of a group. `counts` says how many each group has, by its links."""
    rest: dict[Link, float] = {}
    active: dict[Link, int] = {}
    users: dict[Link, list[tuple[Link, ...]]] = {}
    for links, count in counts.items():
        for link in links:
            rest.setdefault(link, link.bytes_per_second)
            active[link] = active.get(link, 0) + count
            users.setdefault(link, []).append(links)
    # The link that is full next comes first. A share only grows while others freeze: it is looked at again when due.
    queue = [(rest[link] / active[link], number, link) for number, link in enumerate(rest)]
    heapq.heapify(queue)
    rates: dict[tuple[Link, ...], float] = {}
    while queue:
        share, number, link = heapq.heappop(queue)
        if not active[link]:
            continue
        present = rest[link] / active[link]
        if present > share * (1 + _SAME_SHARE):
            heapq.heappush(queue, (present, number, link))
            continue
        for links in users[link]:
            if links in rates:
                continue
            rates[links] = share
            count = counts[links]
            for other in links:
                rest[other] = max(0.0, rest[other] - share * count)
                active[other] -= count
    return rates


class Network:
    """All flows of one world.

    A change is reckoned with once all that happens at its moment has happened; it costs in proportion to the groups of
    flows, not to the flows.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._groups: dict[tuple[Link, ...], _Group] = {}
        self._changed = runtime.signal()
        self._stale = False
        self._begun = 0
        self._moved_bytes = 0.0

    @property
    def bytes_moved(self) -> float:
        """What all flows together have moved until now."""
        now = self._runtime.monotonic()
        for group in self._groups.values():
            self._moved_bytes += group.settle(now)
        return self._moved_bytes

    async def transfer(
        self, waiting: Runtime, size_bytes: float, *links: Link, on_cut: Callable[[float], None] = lambda _: None
    ) -> None:
        """Carry `size_bytes` over `links`; return when they have arrived. Raises `FlowBroken` when `fail` ends it.

        `waiting` is the runtime of the host that waits: when it crashes or gives up, its flow ends with it, and
        `on_cut` is told how many bytes have not come.
        """
        if size_bytes <= 0 or not links:
            return
        now = self._runtime.monotonic()
        group = self._groups.get(links)
        if group is None:
            group = self._groups[links] = _Group(links, now)
        self._moved_bytes += group.settle(now)
        flow = _Flow(group.served_bytes + size_bytes, waiting.signal())
        self._begun += 1
        heapq.heappush(group.flows, (flow.until_bytes, self._begun, flow))
        group.living += 1
        self._change()
        try:
            await flow.arrived.wait()
        finally:
            if not flow.over:
                self._moved_bytes += group.settle(self._runtime.monotonic())
                self._end(group, flow)
                on_cut(max(flow.until_bytes - group.served_bytes, 0.0))
        if flow.broken:
            rest_bytes = flow.until_bytes - group.served_bytes
            raise FlowBroken(f"no byte has come for too long: {rest_bytes:.0f} bytes are missing")

    def set_rate(self, link: Link, bytes_per_second: float) -> None:
        """From now on the link carries so much."""
        link.bytes_per_second = bytes_per_second
        self._change()

    def fail(self, link: Link) -> None:
        """Break every flow over the link."""
        now = self._runtime.monotonic()
        for group in [group for group in self._groups.values() if link in group.links]:
            self._moved_bytes += group.settle(now)
            for _, _, flow in sorted(group.flows, key=lambda entry: entry[1]):
                if not flow.over:
                    flow.broken = True
                    self._end(group, flow)
                    flow.arrived.set()

    async def run(self) -> None:
        """Deliver flows when their time has come; until cancelled."""
        while True:
            self._changed.clear()
            if self._stale:
                self._share()
            due = min((group.due_seconds for group in self._groups.values()), default=math.inf)
            now = self._runtime.monotonic()
            await self._changed.wait(None if due == math.inf else max(due - now, 0.0))
            self._deliver()

    def _deliver(self) -> None:
        now = self._runtime.monotonic()
        for group in [group for group in self._groups.values() if group.due_seconds <= now]:
            self._moved_bytes += group.settle(now)
            while group.flows and group.flows[0][0] - group.served_bytes <= _ARRIVED_BYTES:
                flow = heapq.heappop(group.flows)[2]
                if not flow.over:
                    self._end(group, flow)
                    flow.arrived.set()
            group.reckon()

    def _end(self, group: _Group, flow: _Flow) -> None:
        flow.over = True
        group.living -= 1
        if not group.living:
            self._groups.pop(group.links, None)
        self._change()

    def _change(self) -> None:
        self._stale = True
        self._changed.set()

    def _share(self) -> None:
        """New rates for all; what has moved so far has moved at the old ones."""
        self._stale = False
        now = self._runtime.monotonic()
        rates = _rates_of({links: group.living for links, group in self._groups.items()})
        for links, group in self._groups.items():
            self._moved_bytes += group.settle(now)
            group.rate = rates[links]
            group.reckon()
