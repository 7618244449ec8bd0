"""Sites: the named calls of ports, counted, where a fault plan strikes.

A site is `process verb subject`: which process calls which verb of a port, and on what. `agent/node-1 rename
copy/llama` is an agent that publishes a model, `manager-1 patch LocalModelNode/node-2` the manager that writes a spec.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable

import msgspec

from cachesim.faults.plan import Fault

# Verbs after which the world is another one: a crash before and after them is not the same.
API_WRITES = ("create", "update", "update_status", "patch", "delete")
_DISK_WRITES = ("write", "append", "allocate", "shrink", "rename", "remove_tree", "make_directory", "sync_tree", "move")
API_VERBS = frozenset((*API_WRITES, "get", "list", "watch"))
WRITES = frozenset((*API_WRITES, *_DISK_WRITES))


class Site(msgspec.Struct, frozen=True, order=True):
    process: str
    verb: str
    subject: str

    def __str__(self) -> str:
        return f"{self.process} {self.verb} {self.subject}"

    @property
    def writes(self) -> bool:
        return self.verb in WRITES


class _Armed:
    """A fault of the plan that waits for the n-th occasion of what its pattern matches."""

    __slots__ = ("fault", "rest")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.rest = fault.occasion

    def matches(self, site: Site) -> bool:
        patterns = self.fault.where.split()
        names = (site.process, site.verb, site.subject)
        return all(fnmatch.fnmatchcase(name, pattern) for name, pattern in zip(names, patterns, strict=False))


class Sites:
    """Counts every occasion of every site, and answers the fault that strikes there."""

    def __init__(self) -> None:
        self.occasions: dict[tuple[str, str, str], int] = {}
        self._armed: list[_Armed] = []
        self._matching: dict[tuple[str, str, str], tuple[_Armed, ...]] = {}
        # Told of each call before it is made: process, verb and subject.
        self.observers: list[Callable[[str, str, str], None]] = []
        self.on_strike: Callable[[Fault, Site], None] = lambda fault, site: None

    def arm(self, fault: Fault) -> None:
        self._armed.append(_Armed(fault))
        self._matching.clear()

    def disarm(self) -> None:
        """Nothing strikes any more."""
        self._armed.clear()
        self._matching.clear()

    def reach(self, process: str, verb: str, subject: str) -> Fault | None:
        """A call is about to be made. At most one fault strikes: the first of the plan whose turn it is."""
        key = (process, verb, subject)
        self.occasions[key] = self.occasions.get(key, 0) + 1
        for observer in self.observers:
            observer(process, verb, subject)
        if not self._armed:
            return None
        matching = self._matching.get(key)
        if matching is None:
            site = Site(*key)
            matching = self._matching[key] = tuple(armed for armed in self._armed if armed.matches(site))
        struck = None
        for armed in matching:
            armed.rest -= 1
            if armed.rest == 0 and struck is None:
                struck = armed.fault
        if struck is not None:
            self.on_strike(struck, Site(*key))
        return struck
