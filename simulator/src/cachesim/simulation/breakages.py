"""What a fault does to the things of a simulated cluster. Each is safe in any state, as often as one likes."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

from cachecore.errors import NotFound
from cachecore.resources.core import Node
from cachecore.store.layout import published_path
from cachesim.simulation.machines import SimulatedProcess

if TYPE_CHECKING:
    from cachesim.cluster import SimulatedCluster

# What a link carries while it is stalled: too little to matter, and not nothing, so that rates stay positive.
_STALLED_BYTES_PER_SECOND = 1.0
# How long a mover waits for a byte that does not come.
READ_TIMEOUT_SECONDS = 20.0


class Breakages:
    """The `Faultable` of a simulated cluster."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster
        self._stalled = 0
        # Of its own: what a loss of power takes doesn't depend on what else draws lots.
        self._chance = random.Random(f"{cluster.seed}/power")
        self._gone: dict[str, None] = {}

    def crash_host(self, name: str) -> None:
        self._cluster.hosts[name].power_off()

    def start_host(self, name: str) -> None:
        if name not in self._gone:
            self._cluster.hosts[name].power_on()

    def scrap(self, name: str) -> None:
        """The machine goes for good: nothing starts it again."""
        self._gone[name] = None
        self._cluster.hosts[name].power_off()

    def lose_power(self, name: str) -> None:
        host = self._cluster.hosts[name]
        host.power_off()
        host.disk.lose_power(self._chance)

    def wipe_disk(self, name: str) -> None:
        self._cluster.hosts[name].disk.wipe()

    def swap_disk(self, name: str) -> None:
        """The machine comes back with a copy of the disk that another machine has at this moment."""
        others = [host for host in self._cluster.hosts.values() if host.name != name]
        if others:
            self._cluster.hosts[name].disk.become(others[0].disk)

    def crash_agent(self, name: str) -> None:
        self._cluster.hosts[name].agent.stop()

    def start_agent(self, name: str) -> None:
        self._cluster.hosts[name].agent.ensure_running()

    def pause_agent(self, name: str, *, paused: bool) -> None:
        self._cluster.hosts[name].agent.pause(paused=paused)

    def crash_manager(self, name: str) -> None:
        self._cluster.managers[name].stop()

    def start_manager(self, name: str) -> None:
        self._cluster.managers[name].ensure_running()

    def pause_manager(self, name: str, *, paused: bool) -> None:
        self._cluster.managers[name].pause(paused=paused)

    def silence_node(self, name: str, *, silent: bool) -> None:
        self._cluster.hosts[name].kubelet.pause(paused=silent)
        if self._cluster.heartbeats is not None:
            beats = not silent and self._cluster.hosts[name].kubelet.running
            beat = self._cluster.heartbeats.begin if beats else self._cluster.heartbeats.end
            beat(name, self._cluster.runtime.monotonic())

    def set_clock(self, name: str, skew_seconds: float) -> None:
        self._cluster.hosts[name].set_clock(skew_seconds)

    def fill_disk(self, name: str, *, full: bool) -> None:
        self._cluster.hosts[name].disk.fill(full=full)

    def flip_bit(self, name: str) -> None:
        self.crash_agent(name)
        self._cluster.hosts[name].disk.flip_bit()

    def harm_copy(self, name: str, model: str, *, cut: bool) -> None:
        """Remove a published copy that no pod has mounted, or cut its first file off: the model's, or the first one."""
        world = self._cluster.world
        mounted = {mount.path.partition("/")[0] for mount in world.mounts if mount.node == name}
        keys = [key for key in world.published_keys(name) if key not in mounted]
        named = [key for key in keys if model in ("", world.model_name(key))]
        if named:
            world.disks[name].harm(published_path(named[0]), cut=cut)

    def cut_watches(self, *, expired: bool) -> None:
        if expired:
            self._cluster.server.store.compact()
        self._cluster.server.hub.close_all()

    def slow_storage(self, factor: float) -> None:
        self._cluster.network.set_rate(self._cluster.source.link, self._cluster.storage_bytes_per_second * factor)

    def stall_storage(self, *, stalled: bool) -> None:
        self._stalled += 1 if stalled else -1
        cluster = self._cluster
        rate = _STALLED_BYTES_PER_SECOND if self._stalled > 0 else cluster.storage_bytes_per_second
        cluster.network.set_rate(cluster.source.link, rate)
        if stalled:
            cluster.runtime.spawn(self._time_out(), name="read timeouts")

    async def _time_out(self) -> None:
        await self._cluster.runtime.sleep(READ_TIMEOUT_SECONDS)
        if self._stalled > 0:
            self._cluster.network.fail(self._cluster.source.link)

    def change_source(self, model: str) -> None:
        source = self._cluster.source
        source.change_model(next(uri for uri in source.objects if uri.endswith(f"/{model}")))

    def delete_node(self, name: str) -> None:
        self._cluster.runtime.spawn(self._delete_node(name), name=f"deletion of {name}")

    async def _delete_node(self, name: str) -> None:
        with contextlib.suppress(NotFound):
            await self._cluster.admin_client().delete(Node, name)

    def upgrade_all(self, pause_seconds: float) -> None:
        self._cluster.runtime.spawn(self._upgrade(pause_seconds), name="rolling upgrade")

    async def _upgrade(self, pause_seconds: float) -> None:
        processes: list[SimulatedProcess] = [host.agent for host in self._cluster.hosts.values()]
        for process in [*processes, *self._cluster.managers.values()]:
            process.stop()
            await self._cluster.runtime.sleep(pause_seconds)
            process.start()
