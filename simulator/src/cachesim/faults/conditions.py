"""What is wrong at this moment, for everybody whom it concerns."""

from __future__ import annotations

from collections import Counter

from cachesim.faults.kinds import What


class Conditions:
    """Counts of what lasts: (what, where) is wrong as long as somebody has begun it and not ended it."""

    def __init__(self) -> None:
        self._active: Counter[tuple[str, str]] = Counter()
        self._turns: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._active)

    def begin(self, what: What, where: str = "") -> None:
        self._active[what, where] += 1

    def end(self, what: What, where: str = "") -> None:
        self._active[what, where] -= 1
        if self._active[what, where] <= 0:
            del self._active[what, where]

    def clear(self) -> None:
        self._active.clear()

    def has(self, what: What, where: str = "") -> bool:
        return (what, where) in self._active

    def turn(self, what: What, every: int, where: str = "") -> bool:
        """Whether it is wrong, and this call is one of those that it strikes: every n-th."""
        if (what, where) not in self._active:
            return False
        self._turns[what] += 1
        return self._turns[what] % every == 0
