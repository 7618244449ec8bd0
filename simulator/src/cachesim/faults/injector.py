"""Carries a fault plan out: arms its sites, waits for its times, and ends what lasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from cachesim.faults.conditions import Conditions
from cachesim.faults.kinds import Scope, What
from cachesim.faults.plan import Fault
from cachesim.faults.sites import Site, Sites
from cachesim.runtime import SimpyRuntime

# Conditions that nothing but the weather of the ports knows of.
_WEATHER: frozenset[What] = frozenset(
    (
        "partition",
        "api-errors",
        "answers-lost",
        "watches-late",
        "events-dropped",
        "events-repeated",
        "disk-failing",
        "disk-read-only",
        "storage-down",
        "storage-throttled",
        "storage-truncated",
        "storage-corrupt",
        "credentials-expired",
        "webhook-down",
    )
)


class Faultable(Protocol):
    """What a fault does to a cluster. Each is safe to call in any state, and as often as one likes."""

    def crash_host(self, name: str) -> None: ...

    def start_host(self, name: str) -> None: ...

    def lose_power(self, name: str) -> None: ...

    def wipe_disk(self, name: str) -> None: ...

    def swap_disk(self, name: str) -> None: ...

    def crash_agent(self, name: str) -> None: ...

    def start_agent(self, name: str) -> None: ...

    def pause_agent(self, name: str, *, paused: bool) -> None: ...

    def crash_manager(self, name: str) -> None: ...

    def start_manager(self, name: str) -> None: ...

    def pause_manager(self, name: str, *, paused: bool) -> None: ...

    def silence_node(self, name: str, *, silent: bool) -> None: ...

    def set_clock(self, name: str, skew_seconds: float) -> None: ...

    def fill_disk(self, name: str, *, full: bool) -> None: ...

    def flip_bit(self, name: str) -> None: ...

    def cut_watches(self, *, expired: bool) -> None: ...

    def slow_storage(self, factor: float) -> None: ...

    def stall_storage(self, *, stalled: bool) -> None: ...

    def change_source(self, model: str) -> None: ...

    def delete_node(self, name: str) -> None:
        """Ask for the deletion of the Node object: it is done in a moment."""
        ...

    def upgrade_all(self, pause_seconds: float) -> None: ...


SLOW_STORAGE = 0.05
SKEW_SECONDS = 3600.0


class Injector:
    """The faults of one run. `heal` ends them all, and lets nothing begin any more."""

    def __init__(
        self,
        runtime: SimpyRuntime,
        cluster: Faultable,
        conditions: Conditions,
        sites: Sites,
        *,
        managers: Sequence[str],
        models: Sequence[str],
        told: Callable[[str, str], None],
    ) -> None:
        self._runtime = runtime
        self._cluster = cluster
        self._conditions = conditions
        self._sites = sites
        self._managers = managers
        self._models = models
        self._told = told
        self._ends: dict[int, tuple[Fault, str]] = {}
        self._count = 0
        self._healed = False
        self.begun: list[tuple[Fault, str]] = []
        sites.on_strike = self._note_strike

    def take(self, faults: Sequence[Fault]) -> None:
        """Arm what waits for a site, and wait for what has a time."""
        for fault in faults:
            if fault.occasion:
                self._sites.arm(fault)
            else:
                self._runtime.spawn(self._at_its_time(fault), name=f"fault {fault.what}")

    def begin(self, fault: Fault, target: str) -> None:
        """Break what the fault says, now; it ends by itself when its time is over."""
        if self._healed:
            return
        self._told("fault", f"{fault.words()}" + (f", on {target}" if target and fault.occasion else ""))
        self.begun.append((fault, target))
        self._break(fault, target)
        if fault.lasting_seconds > 0:
            self._count += 1
            self._ends[self._count] = (fault, target)
            self._runtime.spawn(self._end_later(self._count, fault), name=f"end of {fault.what}")

    def heal(self) -> None:
        """All faults stop at this moment."""
        self._healed = True
        self._sites.disarm()
        for number in list(self._ends):
            self._end(number)
        self._conditions.clear()
        self._told("heal", "all faults stop")

    def target_of(self, fault: Fault, process: str, node: str) -> str:
        """Whom a fault strikes that the call of a process has triggered."""
        if fault.kind.scope is Scope.NODE:
            return node
        if fault.kind.scope is Scope.MANAGER:
            return process if process in self._managers else self._managers[0]
        return ""

    def _note_strike(self, fault: Fault, site: Site) -> None:
        if fault.kind.scope is Scope.CALL:
            self._told("fault", f"{fault.words()}: {site}")
            self.begun.append((fault, str(site)))

    async def _at_its_time(self, fault: Fault) -> None:
        await self._runtime.sleep(fault.at_seconds)
        self.begin(fault, fault.where)

    async def _end_later(self, number: int, fault: Fault) -> None:
        await self._runtime.sleep(fault.lasting_seconds)
        self._end(number)

    def _end(self, number: int) -> None:
        found = self._ends.pop(number, None)
        if found is not None:
            fault, target = found
            self._told("heal", f"{fault.what} ends{' on ' if target else ''}{target}")
            self._mend(fault, target)

    def _break(self, fault: Fault, target: str) -> None:
        cluster = self._cluster
        if fault.what in _WEATHER:
            self._conditions.begin(fault.what, target if fault.kind.scope is Scope.NODE else "")
            return
        match fault.what:
            case "agent-crash":
                cluster.crash_agent(target)
            case "agent-paused":
                cluster.pause_agent(target, paused=True)
            case "manager-crash":
                cluster.crash_manager(target)
            case "manager-paused":
                cluster.pause_manager(target, paused=True)
            case "rolling-upgrade":
                cluster.upgrade_all(fault.lasting_seconds)
            case "node-lost" | "node-deleted":
                cluster.crash_host(target)
                if fault.what == "node-deleted":
                    cluster.delete_node(target)
            case "node-silent":
                cluster.silence_node(target, silent=True)
            case "power-loss":
                cluster.lose_power(target)
            case "clock-skew":
                cluster.set_clock(target, SKEW_SECONDS)
            case "api-down":
                self._conditions.begin("api-down")
                cluster.cut_watches(expired=False)
            case _:
                self._break_things(fault, target)

    def _break_things(self, fault: Fault, target: str) -> None:
        """The disk's, the watches' and the object store's part of `_break`."""
        cluster = self._cluster
        match fault.what:
            case "disk-full":
                cluster.fill_disk(target, full=True)
            case "bit-flip":
                cluster.flip_bit(target)
            case "watches-cut" | "watches-expired":
                cluster.cut_watches(expired=fault.what == "watches-expired")
            case "storage-slow":
                cluster.slow_storage(SLOW_STORAGE)
            case "storage-stalled":
                cluster.stall_storage(stalled=True)
            case "object-changed":
                cluster.change_source(fault.model or self._models[0])
            case _:
                raise AssertionError(f"no effect for {fault.what}")

    def _mend(self, fault: Fault, target: str) -> None:
        cluster = self._cluster
        if fault.what in _WEATHER:
            self._conditions.end(fault.what, target if fault.kind.scope is Scope.NODE else "")
            return
        match fault.what:
            case "agent-crash":
                cluster.start_agent(target)
            case "agent-paused":
                cluster.pause_agent(target, paused=False)
            case "manager-crash":
                cluster.start_manager(target)
            case "manager-paused":
                cluster.pause_manager(target, paused=False)
            case "node-lost" | "node-deleted" | "power-loss":
                if fault.disk == "wiped":
                    cluster.wipe_disk(target)
                elif fault.disk == "swapped":
                    cluster.swap_disk(target)
                cluster.start_host(target)
            case "node-silent":
                cluster.silence_node(target, silent=False)
            case "clock-skew":
                cluster.set_clock(target, 0.0)
            case "api-down":
                self._conditions.end("api-down")
            case "disk-full":
                cluster.fill_disk(target, full=False)
            case "storage-slow":
                cluster.slow_storage(1.0)
            case "storage-stalled":
                cluster.stall_storage(stalled=False)
