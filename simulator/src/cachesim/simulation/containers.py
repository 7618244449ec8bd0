"""Containers on virtual time: what each known program would do, and for how long."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from cachecore.names import GUARD_CONTAINER, STORAGE_INITIALIZER_CONTAINER, source_uri_matches
from cachesim.containers.port import ContainerStart, RunningContainer
from cachesim.disk import DiskEvent, DiskWorld
from cachesim.network import FlowBroken, Link, Network
from cachesim.runtime import SimpyRuntime
from cachesim.simulation.world import GROUP_PATH, Mount, World

START_SECONDS = 0.3
KILLED = 137
FAILED = 1

MountObserver = Callable[[Mount, str], None]


class SimulatedContainer:
    """A container that runs until it ends by itself, or is stopped."""

    def __init__(self, runtime: SimpyRuntime) -> None:
        self._ended = runtime.signal()
        self._exit_code: int | None = None

    def end(self, exit_code: int) -> None:
        if self._exit_code is None:
            self._exit_code = exit_code
            self._ended.set()

    async def wait(self) -> int:
        await self._ended.wait()
        return self._exit_code or 0

    async def stop(self, grace_seconds: float) -> None:
        self.end(0)

    async def log(self, tail_bytes: int = 2048) -> str:
        return ""


class SimulatedContainers:
    """The machine under one simulated node. It knows three programs: the storage initializer, the guard, a server.

    The storage initializer downloads the model over the node's links; the guard waits for the published copy; a server
    reads its model from the local disk at `load_bytes_per_second` and counts as started when it has.
    """

    def __init__(
        self,
        runtime: SimpyRuntime,
        node: str,
        world: World,
        network: Network,
        *,
        link: Link,
        load_bytes_per_second: float,
        on_mount: MountObserver,
    ) -> None:
        self._runtime = runtime
        self._node = node
        self._world = world
        self._network = network
        self._link = link
        self._load_bytes_per_second = load_bytes_per_second
        self._on_mount = on_mount
        self._made: dict[str, None] = {}
        self._running: dict[SimulatedContainer, tuple[Mount, ...]] = {}

    @property
    def _disk(self) -> DiskWorld:
        return self._world.disks[self._node]

    async def directory_exists(self, path: str) -> bool:
        await self._runtime.sleep(0)
        below = _below_group(path)
        return path in self._made if below is None else isinstance(self._disk.find(below), dict)

    async def make_directory(self, path: str) -> None:
        await self._runtime.sleep(0)
        self._made[path] = None

    async def remove_tree(self, path: str) -> None:
        await self._runtime.sleep(0)
        self._made = {made: None for made in self._made if not f"{made}/".startswith(f"{path}/")}

    async def start(self, start: ContainerStart) -> RunningContainer:
        await self._runtime.sleep(START_SECONDS)
        container = SimulatedContainer(self._runtime)
        program = {
            STORAGE_INITIALIZER_CONTAINER: self._download,
            GUARD_CONTAINER: self._guard,
        }.get(start.name)
        if program is not None:
            self._running[container] = ()
            self._runtime.spawn(program(start, container), name=f"{self._node}/{start.pod_name}/{start.name}")
            return container
        mounts = tuple(
            Mount(self._node, start.pod_uid, below)
            for mount in start.mounts
            if (below := _below_group(mount.source_path)) is not None
        )
        self._running[container] = mounts
        for mount in mounts:
            self._world.mounts[mount] = None
            self._on_mount(mount, start.pod_namespace)
        self._runtime.spawn(self._serve(container), name=f"{self._node}/{start.pod_name}/{start.name}")
        await self._load(mounts)
        return container

    def kill_all(self) -> None:
        for container in list(self._running):
            self._forget(container)
            container.end(KILLED)

    async def _load(self, mounts: tuple[Mount, ...]) -> None:
        size_bytes = sum(self._disk.size_bytes(mount.path) for mount in mounts)
        await self._runtime.sleep(size_bytes / self._load_bytes_per_second)

    async def _serve(self, container: SimulatedContainer) -> None:
        try:
            await container.wait()
        finally:
            self._forget(container)

    async def _download(self, start: ContainerStart, container: SimulatedContainer) -> None:
        """What KServe's storage initializer does for its pairs of (URI, directory): all over again, for each pod."""
        for uri in start.args[::2]:
            found = [objects for known, objects in self._world.source.objects.items() if source_uri_matches(known, uri)]
            if not found:
                container.end(FAILED)
                return
            size_bytes = sum(item.size_bytes for item in found[0])
            try:
                await self._network.transfer(self._runtime, size_bytes, self._world.source.link, self._link)
            except FlowBroken:
                self._forget(container)
                container.end(FAILED)
                return
            self._world.source.bytes_served += size_bytes
        self._forget(container)
        container.end(0)

    async def _guard(self, start: ContainerStart, container: SimulatedContainer) -> None:
        """`cacheagent wait`: end well once the published copy is there."""
        awaited = start.command[start.command.index("--path") + 1]
        mount = next(mount for mount in start.mounts if awaited.startswith(mount.target))
        path = _below_group(mount.source_path + awaited.removeprefix(mount.target)) or ""
        published = self._runtime.signal()

        def observe(event: DiskEvent) -> None:
            if event.verb == "rename" and event.target == path:
                published.set()

        self._disk.observers.append(observe)
        try:
            while self._disk.find(path) is None:
                published.clear()
                await published.wait()
        finally:
            self._disk.observers.remove(observe)
        self._forget(container)
        container.end(0)

    def _forget(self, container: SimulatedContainer) -> None:
        for mount in self._running.pop(container, ()):
            with contextlib.suppress(KeyError):
                del self._world.mounts[mount]


def _below_group(path: str) -> str | None:
    """A path of the node relative to the node group's folder; None when it lies elsewhere."""
    if path == GROUP_PATH:
        return ""
    return path.removeprefix(f"{GROUP_PATH}/") if path.startswith(f"{GROUP_PATH}/") else None
