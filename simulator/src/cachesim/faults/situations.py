"""Situations that a campaign must have seen: each is something that happens sometimes, and tests seldom think of."""

from __future__ import annotations

SITUATIONS: dict[str, str] = {}


class Situations:
    """Counts how often each has happened."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}

    def note(self, name: str) -> None:
        self.seen[name] = self.seen.get(name, 0) + 1
