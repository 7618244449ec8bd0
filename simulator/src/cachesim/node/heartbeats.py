"""When each node was last heard of, without an event for it: a simulated cluster beats for months at no cost.

A kubelet that runs is heard of every `period_seconds` since it began; one that has ended was, the last time that this
came round. Nobody has to write anything for that to be known.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class _Pulse(msgspec.Struct):
    began_seconds: float
    ended_seconds: float | None = None


class Heartbeats:
    """Kubelets begin, end and pause; a lifecycle controller asks. Times are monotonic, and those of one clock."""

    def __init__(self, period_seconds: float) -> None:
        self._period_seconds = period_seconds
        self._pulses: dict[str, _Pulse] = {}
        # Told when a node falls silent or is heard again.
        self.observers: list[Callable[[], None]] = []

    def begin(self, node: str, now: float) -> None:
        self._pulses[node] = _Pulse(now)
        self._changed()

    def end(self, node: str, now: float) -> None:
        pulse = self._pulses.get(node)
        if pulse is not None and pulse.ended_seconds is None:
            pulse.ended_seconds = now
            self._changed()

    def silent_seconds(self, node: str, now: float) -> float | None:
        """For how long the node has not been heard of, 0 while it is; None when it never was."""
        pulse = self._pulses.get(node)
        if pulse is None:
            return None
        if pulse.ended_seconds is None:
            return 0.0
        beats = (pulse.ended_seconds - pulse.began_seconds) // self._period_seconds
        return now - (pulse.began_seconds + beats * self._period_seconds)

    def all_heard(self) -> bool:
        return all(pulse.ended_seconds is None for pulse in self._pulses.values())

    def forget_all_but(self, nodes: set[str]) -> None:
        """Nodes that are no more are silent for ever, and nobody waits for them."""
        for node in [node for node, pulse in self._pulses.items() if pulse.ended_seconds is not None]:
            if node not in nodes:
                del self._pulses[node]

    def _changed(self) -> None:
        for observer in self.observers:
            observer()
