"""Carries a fault plan out: arms its sites, waits for its times, and ends what lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from cachesim.faults.conditions import Conditions
from cachesim.faults.kinds import Scope, What
from cachesim.faults.plan import Fault
from cachesim.faults.sites import Site, Sites
from cachesim.runtime import SimpyRuntime
from cachesim.sometimes.situations import Situations

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

    def harm_copy(self, name: str, model: str, *, cut: bool) -> None: ...

    def cut_watches(self, *, expired: bool) -> None: ...

    def slow_storage(self, factor: float) -> None: ...

    def stall_storage(self, *, stalled: bool) -> None: ...

    def change_source(self, model: str) -> None: ...

    def delete_node(self, name: str) -> None:
        """Ask for the deletion of the Node object: it is done in a moment."""
        ...

    def upgrade_all(self, pause_seconds: float) -> None: ...


Effect = Callable[[str], None]

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
        nodes: Sequence[str],
        managers: Sequence[str],
        models: Sequence[str],
        situations: Situations,
        told: Callable[[str, str], None],
    ) -> None:
        self._runtime = runtime
        self._cluster = cluster
        self._conditions = conditions
        self._sites = sites
        self._nodes = nodes
        self._managers = managers
        self._models = models
        self._situations = situations
        self._told = told
        self._effects = self._make_effects()
        self._ends: dict[int, tuple[Fault, str]] = {}
        self._count = 0
        self._healed = False
        sites.on_strike = self._note_strike

    def arm(self, faults: Iterable[Fault]) -> None:
        """From now on the occasions of sites count, for those of the faults that wait for one."""
        for fault in faults:
            if fault.occasion:
                self._sites.arm(fault)

    def schedule(self, faults: Iterable[Fault]) -> None:
        """From now on time counts, for those of the faults that have one."""
        for fault in faults:
            if not fault.occasion:
                self._runtime.spawn(self._at_its_time(fault), name=f"fault {fault.what}")

    def begin(self, fault: Fault, target: str) -> None:
        """Break what the fault says, now; it ends by itself when its time is over."""
        if self._healed:
            return
        self._told("fault", f"{fault.words()}" + (f", on {target}" if target and fault.occasion else ""))
        self._situations.begun(fault, target)
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
            # A manager runs nowhere in particular: then it is the first node's turn.
            return node or self._nodes[0]
        if fault.kind.scope is Scope.MANAGER:
            return process if process in self._managers else self._managers[0]
        return ""

    def _note_strike(self, fault: Fault, site: Site) -> None:
        self._situations.struck(fault, site)
        if fault.kind.scope is Scope.CALL:
            self._told("fault", f"{fault.words()}: {site}")

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
        if fault.what in _WEATHER:
            self._conditions.begin(fault.what, target if fault.kind.scope is Scope.NODE else "")
        elif fault.what == "object-changed":
            self._cluster.change_source(fault.model or self._models[0])
        elif fault.what in ("copy-lost", "copy-damaged"):
            self._cluster.harm_copy(target, fault.model, cut=fault.what == "copy-damaged")
        elif fault.what == "rolling-upgrade":
            self._cluster.upgrade_all(fault.lasting_seconds)
        elif fault.what == "storage-slow":
            self._cluster.slow_storage(fault.share)
        else:
            self._effects[fault.what][0](target)

    def _mend(self, fault: Fault, target: str) -> None:
        if fault.what in _WEATHER:
            self._conditions.end(fault.what, target if fault.kind.scope is Scope.NODE else "")
            if fault.what == "events-dropped":
                self._cluster.cut_watches(expired=True)
            return
        if fault.disk == "wiped":
            self._cluster.wipe_disk(target)
        elif fault.disk == "swapped":
            self._cluster.swap_disk(target)
        if fault.what in ("node-lost", "node-deleted", "power-loss"):
            self._situations.returned(target, fault.disk)
        if fault.what in self._effects:
            self._effects[fault.what][1](target)

    def _make_effects(self) -> dict[What, tuple[Effect, Effect]]:
        """How each fault that is no weather breaks its target, and how that is mended."""
        cluster, conditions = self._cluster, self._conditions

        def api_down(_: str) -> None:
            conditions.begin("api-down")
            cluster.cut_watches(expired=False)

        def delete_node(name: str) -> None:
            cluster.crash_host(name)
            cluster.delete_node(name)

        return {
            "agent-crash": (cluster.crash_agent, cluster.start_agent),
            "agent-paused": (
                lambda name: cluster.pause_agent(name, paused=True),
                lambda name: cluster.pause_agent(name, paused=False),
            ),
            "manager-crash": (cluster.crash_manager, cluster.start_manager),
            "manager-paused": (
                lambda name: cluster.pause_manager(name, paused=True),
                lambda name: cluster.pause_manager(name, paused=False),
            ),
            "node-lost": (cluster.crash_host, cluster.start_host),
            "node-deleted": (delete_node, cluster.start_host),
            "power-loss": (cluster.lose_power, cluster.start_host),
            "node-silent": (
                lambda name: cluster.silence_node(name, silent=True),
                lambda name: cluster.silence_node(name, silent=False),
            ),
            "clock-skew": (
                lambda name: cluster.set_clock(name, SKEW_SECONDS),
                lambda name: cluster.set_clock(name, 0.0),
            ),
            "api-down": (api_down, lambda _: conditions.end("api-down")),
            "watches-cut": (lambda _: cluster.cut_watches(expired=False), _nothing),
            "watches-expired": (lambda _: cluster.cut_watches(expired=True), _nothing),
            "disk-full": (
                lambda name: cluster.fill_disk(name, full=True),
                lambda name: cluster.fill_disk(name, full=False),
            ),
            "bit-flip": (cluster.flip_bit, cluster.start_agent),
            "storage-slow": (_nothing, lambda _: cluster.slow_storage(1.0)),
            "storage-stalled": (
                lambda _: cluster.stall_storage(stalled=True),
                lambda _: cluster.stall_storage(stalled=False),
            ),
        }


def _nothing(_: str) -> None:
    """It is over at once, or mends by itself."""
