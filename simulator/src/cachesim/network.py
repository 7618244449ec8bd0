"""Bandwidth that flows share fairly: S3, the nodes' network cards, their disks.

A flow is a number of bytes over some links. Rates are max-min fair (progressive filling: Bertsekas and Gallager, Data
Networks, 6.5.2): all rates grow together until a link is full, its flows freeze, the rest grow on. Rates change only
when a flow starts or ends, so the simulation costs one event per change and nothing per chunk.
"""

from __future__ import annotations

import msgspec

from cachecore.ports import Runtime, Signal

# A flow whose rest is below this has arrived: float error must not leave a millionth of a byte to wait for.
_ARRIVED_BYTES = 1e-3


class FlowBroken(Exception):
    """A flow has ended before all its bytes had come."""


class Link(msgspec.Struct, eq=False):
    """Something that carries at most `bytes_per_second`, over all its flows."""

    name: str
    bytes_per_second: float


class _Flow:
    """One transfer in progress. `rest_bytes` is true as of the network's last settling."""

    __slots__ = ("arrived", "broken", "links", "rate", "rest_bytes")

    def __init__(self, links: tuple[Link, ...], size_bytes: float, arrived: Signal) -> None:
        self.links = links
        self.rest_bytes = size_bytes
        self.rate = 0.0
        self.arrived = arrived
        self.broken = False


def fair_rates(flows: list[tuple[Link, ...]]) -> list[float]:
    """The max-min fair rate of each flow, given the links that each one uses, in bytes per second."""
    rates = [0.0] * len(flows)
    rest = {link: link.bytes_per_second for links in flows for link in links}
    active: dict[Link, int] = {}
    for links in flows:
        for link in links:
            active[link] = active.get(link, 0) + 1
    growing = list(range(len(flows)))
    while growing:
        # Ties between links do not matter: either way both are full.
        share, bottleneck = min(
            ((rest[link] / active[link], link) for link in active if active[link]), key=lambda p: p[0]
        )
        frozen = [index for index in growing if bottleneck in flows[index]]
        growing = [index for index in growing if bottleneck not in flows[index]]
        for index in frozen:
            rates[index] = share
            for link in flows[index]:
                rest[link] = max(0.0, rest[link] - share)
                active[link] -= 1
    return rates


class Network:
    """All flows of one world."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._flows: list[_Flow] = []
        self._settled_at = runtime.monotonic()
        self._changed = runtime.signal()
        self.bytes_moved = 0.0

    async def transfer(self, waiting: Runtime, size_bytes: int, *links: Link) -> None:
        """Carry `size_bytes` over `links`; return when they have arrived. Raises `FlowBroken` when `fail` ends it.

        `waiting` is the runtime of the host that waits: when it crashes, its flow ends with it.
        """
        if size_bytes <= 0 or not links:
            return
        flow = _Flow(links, float(size_bytes), waiting.signal())
        self._settle()
        self._flows.append(flow)
        self._share()
        try:
            await flow.arrived.wait()
        finally:
            if flow in self._flows:
                self._settle()
                self._flows.remove(flow)
                self._share()
        if flow.broken:
            raise FlowBroken(f"no byte has come for too long: {flow.rest_bytes:.0f} bytes are missing")

    def set_rate(self, link: Link, bytes_per_second: float) -> None:
        """From now on the link carries so much."""
        self._settle()
        link.bytes_per_second = bytes_per_second
        self._share()

    def fail(self, link: Link) -> None:
        """Break every flow over the link."""
        self._settle()
        for flow in [flow for flow in self._flows if link in flow.links]:
            flow.broken = True
            flow.arrived.set()

    async def run(self) -> None:
        """Deliver flows when their time has come; until cancelled."""
        while True:
            self._changed.clear()
            await self._changed.wait(self._seconds_to_next_arrival())
            self._settle()
            arrived = [flow for flow in self._flows if flow.rest_bytes <= _ARRIVED_BYTES]
            if arrived:
                self._flows = [flow for flow in self._flows if flow.rest_bytes > _ARRIVED_BYTES]
                self._share()
                for flow in arrived:
                    flow.arrived.set()

    def _seconds_to_next_arrival(self) -> float | None:
        # A nanosecond more than computed, so that rounding never wakes us just before an arrival, again and again.
        return min((flow.rest_bytes / flow.rate + 1e-9 for flow in self._flows if flow.rate > 0), default=None)

    def _settle(self) -> None:
        """Account for what has moved since the rates last changed."""
        elapsed = self._runtime.monotonic() - self._settled_at
        self._settled_at += elapsed
        if elapsed <= 0:
            return
        for flow in self._flows:
            moved = min(flow.rest_bytes, flow.rate * elapsed)
            flow.rest_bytes -= moved
            self.bytes_moved += moved

    def _share(self) -> None:
        for flow, rate in zip(self._flows, fair_rates([flow.links for flow in self._flows]), strict=True):
            flow.rate = rate
        self._changed.set()
