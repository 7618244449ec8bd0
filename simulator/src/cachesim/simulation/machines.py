"""What of a simulated cluster can die and come back: processes, and the machines that they run on."""

from __future__ import annotations

from collections.abc import Callable

from cachesim.disk import DiskWorld
from cachesim.faults.gated_client import GatedClient
from cachesim.faults.plan import Fault
from cachesim.network import Link
from cachesim.runtime import SimpyRuntime
from cachesim.sometimes.situations import Situations

NewRuntime = Callable[[str, str], SimpyRuntime]
Begin = Callable[["SimulatedProcess", SimpyRuntime], GatedClient | None]
Tell = Callable[[str, str], None]


class SimulatedProcess:
    """One process: each start is another incarnation, with a runtime of its own.

    `begin` wires what runs in it; `node` is where it runs, "" when that does not matter. As long as its machine is down
    it can't start.
    """

    def __init__(
        self,
        name: str,
        node: str,
        control: SimpyRuntime,
        *,
        new_runtime: NewRuntime,
        begin: Begin,
        tell: Tell,
        notice: Situations,
        suffer: Callable[[Fault, SimulatedProcess], None],
    ) -> None:
        self.name = name
        self.node = node
        self.incarnation = 0
        self.runtime: SimpyRuntime | None = None
        self.machine_is_up: Callable[[], bool] = lambda: True
        self._control = control
        self._new_runtime = new_runtime
        self._begin = begin
        self._tell = tell
        self._notice = notice
        self._suffer = suffer
        self._client: GatedClient | None = None

    @property
    def running(self) -> bool:
        return self.runtime is not None and not self.runtime.crashed

    def start(self) -> None:
        """Begin anew: never two of them at once, and none on a machine that is down."""
        if not self.machine_is_up():
            return
        self.stop()
        self.incarnation += 1
        self.runtime = self._new_runtime(f"{self.name}/{self.incarnation}", self.node)
        self._client = self._begin(self, self.runtime)
        self._notice.process_started(f"{self.name}-{self.incarnation}", self.node)
        self._tell(self.node, f"{self.name.partition('/')[0]} started")

    def ensure_running(self) -> None:
        """Begin anew, unless it runs."""
        if not self.running:
            self.start()

    def stop(self) -> None:
        """End at this instant, whatever its tasks are awaiting."""
        if self.runtime is not None and not self.runtime.crashed:
            self._notice.process_stopped(f"{self.name}-{self.incarnation}")
            self._tell(self.node, f"{self.name.partition('/')[0]} stopped")
            self.runtime.crash()

    def pause(self, *, paused: bool) -> None:
        """Stand still, as under SIGSTOP; go on where it stood."""
        if self.runtime is not None:
            self.runtime.pause(paused=paused)

    # What a fault does to the process whose call it strikes.

    def crash(self, restart_after_seconds: float) -> None:
        self.stop()
        self._control.spawn(self._restart(restart_after_seconds), name=f"restart of {self.name}")

    def go_stale(self, lasting_seconds: float) -> None:
        if self._client is not None:
            self._client.go_stale(lasting_seconds)

    def suffer(self, fault: Fault) -> None:
        self._suffer(fault, self)

    async def _restart(self, after_seconds: float) -> None:
        await self._control.sleep(after_seconds)
        self.ensure_running()


class SimulatedHost:
    """One machine: what survives a crash (disk, network card, clock), and the two processes that it runs."""

    def __init__(
        self, name: str, disk: DiskWorld, link: Link, *, kubelet: SimulatedProcess, agent: SimulatedProcess
    ) -> None:
        self.name = name
        self.disk = disk
        self.link = link
        self.clock_skew_seconds = 0.0
        self.kubelet = kubelet
        self.agent = agent
        agent.machine_is_up = lambda: self.kubelet.running

    def power_on(self) -> None:
        """The node and its agent, over whatever the disk holds. What still runs there is cut off."""
        self.power_off()
        self.kubelet.start()
        self.agent.start()

    def power_off(self) -> None:
        """The node, its containers and its agent end at this instant."""
        self.agent.stop()
        self.kubelet.stop()

    def set_clock(self, skew_seconds: float) -> None:
        self.clock_skew_seconds = skew_seconds
        for process in (self.kubelet, self.agent):
            if process.runtime is not None:
                process.runtime.clock_skew_seconds = skew_seconds
