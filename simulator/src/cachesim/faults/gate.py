"""One process's way to the world: every call of its ports passes here, and may be struck on the way."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from cachesim.faults.plan import Fault
from cachesim.faults.sites import Sites
from cachesim.runtime import SimpyRuntime

T = TypeVar("T")

Call = Callable[[], Coroutine[Any, Any, T]]


class Weather(Protocol):
    """What goes wrong for everybody who uses a port, as long as it lasts."""

    def calm(self) -> bool:
        """Whether nothing does: asked before each call."""
        ...

    async def before(self, verb: str) -> None:
        """Raise or wait as long as the call must not be carried out."""
        ...

    def after(self, verb: str) -> None:
        """Raise when the call was carried out and its answer is lost."""
        ...


class Process(Protocol):
    """What a fault does to the process whose call it strikes."""

    def crash(self, restart_after_seconds: float) -> None: ...

    def go_stale(self, lasting_seconds: float) -> None: ...

    def suffer(self, fault: Fault) -> None:
        """A fault of a node or of the cluster that this call has triggered."""
        ...


class Gate:
    """The calls of one port by one incarnation of a process. `failure` makes the port's own errors."""

    def __init__(
        self,
        runtime: SimpyRuntime,
        sites: Sites,
        name: str,
        process: Process,
        *,
        failure: Callable[[str], Exception],
        weather: Weather,
    ) -> None:
        self._runtime = runtime
        self._sites = sites
        self.name = name
        self._process = process
        self._failure = failure
        self._weather = weather

    def call(self, verb: str, subject: str, call: Call[T]) -> Coroutine[Any, Any, T]:
        """The call itself when nothing strikes it: without faults a gate costs no event and no frame."""
        fault = self._sites.reach(self.name, verb, subject)
        if fault is None and self._weather.calm():
            return call()
        return self._struck(fault, verb, call)

    async def _struck(self, fault: Fault | None, verb: str, call: Call[T]) -> T:
        what = fault.what if fault is not None else ""
        if fault is not None:
            await self._strike_before(fault)
        await self._weather.before(verb)
        answer = await call()
        if fault is not None and what == "crash-after":
            self._process.crash(fault.lasting_seconds)
            self._runtime.check_alive()
        if what == "answer-lost":
            raise self._failure("answer-lost")
        self._weather.after(verb)
        return answer

    async def _strike_before(self, fault: Fault) -> None:
        match fault.what:
            case "crash-before":
                self._process.crash(fault.lasting_seconds)
                self._runtime.check_alive()
            case "error" | "conflict" | "too-many-requests":
                raise self._failure(fault.what)
            case "delay":
                await self._runtime.sleep(fault.lasting_seconds)
            case "stale":
                self._process.go_stale(fault.lasting_seconds)
            case "crash-after" | "answer-lost":
                return
            case _:
                self._process.suffer(fault)
                self._runtime.check_alive()
