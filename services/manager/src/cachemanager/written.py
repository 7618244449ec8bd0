"""What this process has written and not yet seen come back: reconciles start from that, not from the older state."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from cachecore.resources.meta import Resource

K = TypeVar("K", bound=Hashable)
R = TypeVar("R", bound=Resource)


class Written(Generic[K, R]):
    """An overlay over an informer's copy. An object in any state but those that were overwritten is newer than ours."""

    def __init__(self) -> None:
        self._latest: dict[K, tuple[frozenset[str], R]] = {}

    def remember(self, key: K, base: R, result: R) -> None:
        """`result` is what the server answered to a write over `base`."""
        superseded = {base.metadata.resource_version}
        previous = self._latest.get(key)
        if previous is not None and previous[1].metadata.resource_version == base.metadata.resource_version:
            superseded |= previous[0]
        self._latest[key] = (frozenset(superseded), result)

    def current(self, key: K, seen: R) -> R:
        """The newest state that is known of an object which the informer has as `seen`."""
        latest = self._latest.get(key)
        if latest is None:
            return seen
        superseded, result = latest
        # Between what we wrote over and our write somebody else may have written the status: that state is older too.
        older = seen.metadata.generation < result.metadata.generation
        if seen.uid == result.uid and (older or seen.metadata.resource_version in superseded):
            return result
        del self._latest[key]
        return seen

    def forget(self, key: K) -> None:
        self._latest.pop(key, None)
