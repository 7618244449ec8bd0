"""What the spec asks for, by key: the entries of all caches that share one URI, taken together. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec

from cacheagent.credentials import same_credentials
from cachecore.errors import InvalidInput
from cachecore.names import storage_key
from cachecore.quantity import quantity_bytes
from cachecore.resources.serving import LocalModelInfo

Recipe: TypeAlias = tuple[Any, ...]


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """One model that the node shall hold. `entries` are sorted by namespace and name: the first one decides."""

    key: str
    uri: str
    entries: tuple[LocalModelInfo, ...]
    declared_bytes: int = 0
    priority: int = 0
    pinned: bool = False

    @property
    def first(self) -> LocalModelInfo:
        return self.entries[0]

    @property
    def name(self) -> str:
        return self.first.status_key

    @property
    def digest(self) -> str:
        return next((entry.digest for entry in self.entries if entry.digest), "")

    @property
    def recipe(self) -> Recipe:
        """What decides how the model is fetched: a failure under another recipe says nothing about this one."""
        entries = tuple(
            (entry.status_key, entry.service_account_name, entry.storage, entry.digest) for entry in self.entries
        )
        return (self.first.allow_patterns, self.first.ignore_patterns, entries)

    @property
    def candidates(self) -> tuple[LocalModelInfo, ...]:
        """The entries whose credentials are worth trying, in order: each set of them once."""
        chosen: list[LocalModelInfo] = []
        for entry in self.entries:
            if not any(same_credentials(entry, other) for other in chosen):
                chosen.append(entry)
        return tuple(chosen)

    @property
    def note(self) -> str:
        """What a person should know when the caches that share the copy disagree; "" when they don't."""
        others = list(self.entries[1:])
        notes = []
        differing = [entry.status_key for entry in others if not same_credentials(self.first, entry)]
        if differing:
            notes.append(
                f"{', '.join(differing)} names other credentials for the same URI; those of {self.name} come first"
            )
        patterns = (self.first.allow_patterns, self.first.ignore_patterns)
        differing = [e.status_key for e in others if (e.allow_patterns, e.ignore_patterns) != patterns]
        if differing:
            notes.append(f"{', '.join(differing)} has other patterns for the same URI; those of {self.name} hold")
        differing = [entry.status_key for entry in others if entry.digest and entry.digest != self.digest]
        if differing:
            notes.append(f"{', '.join(differing)} expects another digest; {self.digest} holds")
        return "; ".join(notes)


def demands(entries: Iterable[LocalModelInfo]) -> dict[str, Demand]:
    """By key, sorted by key."""
    grouped: dict[str, list[LocalModelInfo]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.namespace, entry.model_name)):
        grouped.setdefault(storage_key(entry.source_model_uri), []).append(entry)
    return {
        key: Demand(
            key=key,
            uri=group[0].source_model_uri,
            entries=tuple(group),
            declared_bytes=max(_size(entry) for entry in group),
            priority=max(entry.priority for entry in group),
            pinned=any(entry.pinned for entry in group),
        )
        for key, group in sorted(grouped.items())
    }


def _size(entry: LocalModelInfo) -> int:
    try:
        return quantity_bytes(entry.size)
    except InvalidInput:
        # The size is only a hint: the source says what it is.
        return 0
