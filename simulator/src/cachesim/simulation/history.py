"""What happened to copies, read from the disks alone: downloads with their times, and evictions in their order."""

from __future__ import annotations

import re

import msgspec

from cachesim.disk import DiskEvent
from cachesim.simulation.world import published_key

_STAGED = re.compile(r"^\.localmodel/staging/(?P<key>[0-9a-f]{16})/files/")


class Eviction(msgspec.Struct, frozen=True, kw_only=True):
    """A copy was taken away."""

    time: float
    node: str
    key: str


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """From the first space that was taken for a model to its publication, whatever came between."""

    node: str
    key: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


class History:
    """Told of each change of a disk."""

    def __init__(self) -> None:
        self.evictions: list[Eviction] = []
        self.downloads: list[Download] = []
        self._begun: dict[tuple[str, str], float] = {}

    def disk_changed(self, time: float, node: str, event: DiskEvent) -> None:
        if event.verb == "allocate":
            staged = _STAGED.match(event.path)
            if staged is not None:
                self._begun.setdefault((node, staged["key"]), time)
        elif event.verb == "rename":
            before, after = published_key(event.path), published_key(event.target)
            if before and not after:
                self.evictions.append(Eviction(time=time, node=node, key=before))
            begin = self._begun.pop((node, after), None)
            if after and begin is not None:
                self.downloads.append(Download(node=node, key=after, begin=begin, end=time))
