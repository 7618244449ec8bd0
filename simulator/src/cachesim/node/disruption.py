"""How fast nodes may lose their pods: the more of them are not well, the less it is believed that it is their fault."""

from __future__ import annotations

from collections.abc import Sequence

_MOST_WITHOUT_DOUBT = 2
_UNHEALTHY_SHARE = 0.55
_LARGE_CLUSTER_NODES = 50
_DOUBTFUL_RATE = 0.01


class Disruption:
    """The state of the one zone that a cluster of ours is, and the rate at which nodes get the taint that evicts."""

    def __init__(self, rate: float) -> None:
        self.total = False
        self._usual_rate = rate
        self._rate = rate
        self._next = 0.0

    def observe(self, well: Sequence[bool], now: float) -> bool:
        """Which nodes are well; answer whether a total disruption has just ended."""
        unwell = well.count(False)
        was_total, self.total = self.total, bool(well) and unwell == len(well)
        self._rate = self._usual_rate
        if unwell > _MOST_WITHOUT_DOUBT and unwell >= _UNHEALTHY_SHARE * len(well):
            self._rate = min(_DOUBTFUL_RATE, self._usual_rate) if len(well) > _LARGE_CLUSTER_NODES else 0.0
        return was_total and not self.total

    def may_evict(self, now: float) -> bool:
        """Take the right to taint one node, when there is one."""
        if self.total or not self._rate or now < self._next:
            return False
        self._next = max(self._next, now) + 1.0 / self._rate
        return True
