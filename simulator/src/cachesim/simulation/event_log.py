"""What happened in a simulated world, in order: hashed as it comes, the last lines kept for a person to read."""

from __future__ import annotations

import collections
import hashlib

KEPT_LINES = 40


class EventLog:
    """Each event is one line: virtual time, what kind, and words. The same seed gives the same hash."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._last: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)
        self.events = 0

    def add(self, seconds: float, kind: str, words: str) -> None:
        line = f"{seconds:.6f} {kind} {words}"
        self._hash.update(line.encode() + b"\n")
        self._last.append(line)
        self.events += 1

    @property
    def hash(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    @property
    def last_lines(self) -> tuple[str, ...]:
        return tuple(self._last)
