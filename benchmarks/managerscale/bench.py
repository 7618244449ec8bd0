"""One run: a cluster of one size, the manager on it, and what happens to both."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.controller.informer import Informer
from cachecore.ports import ClusterClient
from cachecore.resources.core import Node
from cachecore.resources.serving import LocalModelCache, LocalModelNode
from cachesim.controlplane import KubeControlPlane
from cachesim.host.service_process import ServiceFailed, ServiceProcess
from managerscale import cluster, objects
from managerscale.agents import FakeAgents
from managerscale.audit import AuditLog
from managerscale.checking import list_all, lost_updates
from managerscale.processes import cpu_seconds, peak_rss_bytes, running_manager
from managerscale.results import Phase, Result

_LOOK_SECONDS = 0.1
_TELL_SECONDS = 5.0
_REST_SECONDS = 3.0
# The storage of a group is told every five seconds at most, and a second after the news.
_LAST_WORD_SECONDS = 7.0
_NEW_VERSION = "1.1.0"


class BenchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`timeout_seconds` is the longest that one change may take. A change is over when nothing has been written for
    `quiet_seconds`, which has to be longer than the manager gathers news of progress.
    """

    nodes: int
    models: int
    timeout_seconds: float
    idle_seconds: float
    quiet_seconds: float


class _Failure:
    """The first of the processes that ended by itself; whoever waits looks here."""

    def __init__(self) -> None:
        self.error: ServiceFailed | None = None

    def tell(self, error: ServiceFailed) -> None:
        self.error = self.error or error


class Bench:
    """What all phases of a run share."""

    def __init__(
        self,
        options: BenchOptions,
        plane: KubeControlPlane,
        client: ClusterClient,
        agents: FakeAgents,
        caches: Informer[LocalModelCache],
        failure: _Failure,
        say: Callable[[str], None],
    ) -> None:
        self._options = options
        self._plane = plane
        self._client = client
        self._agents = agents
        self._caches = caches
        self._failure = failure
        self._say = say
        self._audit = AuditLog(plane.files.audit_log, cluster.MANAGER_USER)

    async def measure(self, manager: ServiceProcess) -> Result:
        """Everything, up to the first thing that did not come to be in time."""
        result = await self._first(manager)
        if result.ready:
            result = await self._idle(result, manager)
            result = await self._changes(result, manager)
        return await self._ended(result, manager)

    async def _first(self, manager: ServiceProcess) -> Result:
        """All models at once, on nodes that have none."""
        nodes, models = self._options.nodes, self._options.models
        server = self._plane.part(cluster.API_SERVER)
        ready = await self._until(lambda: self._agents.holding(0) == nodes, "agents report")
        start, server_before = _now(), cpu_seconds(server.pid)
        if ready:
            # The manager may be a moment behind the agents; models come into a cluster that is at rest.
            await self._quiet(min(_REST_SECONDS, self._options.quiet_seconds))
            self._say(f"creating {models} models")
            start, server_before = _now(), cpu_seconds(server.pid)
            await cluster.each(range(models), lambda number: self._client.create(objects.model(number)))
            ready = await self._until(lambda: self._all_hold(nodes, models), "models are ready everywhere")
        seconds = _now() - start
        if ready:
            await self._quiet(max(_LAST_WORD_SECONDS, self._options.quiet_seconds))
        writes = self._audit.read()
        return Result(
            nodes=nodes,
            models=models,
            ready=ready,
            seconds_to_ready=round(seconds, 1) if ready else None,
            writes=dict(sorted(writes.by_kind.items())),
            writes_total=writes.total,
            conflicts=writes.conflicts,
            refused=writes.refused,
            manager_cpu_seconds=round(cpu_seconds(manager.pid), 2),
            api_server_cpu_seconds=round(cpu_seconds(server.pid) - server_before, 1),
        )

    async def _idle(self, result: Result, manager: ServiceProcess) -> Result:
        seconds = self._options.idle_seconds
        self._say(f"idle for {seconds:.0f} s")
        before, cpu_before = self._audit.read(), cpu_seconds(manager.pid)
        await self._sleep(seconds)
        return msgspec.structs.replace(
            result,
            idle_seconds=seconds,
            idle_writes=self._audit.read().since(before).total,
            idle_cpu_seconds=round(cpu_seconds(manager.pid) - cpu_before, 2),
        )

    async def _changes(self, result: Result, manager: ServiceProcess) -> Result:
        nodes, models = self._options.nodes, self._options.models
        agents = self._agents

        async def add_node() -> None:
            await cluster.add_nodes(self._client, [nodes])

        async def remove_node() -> None:
            await self._client.delete(Node, objects.node(nodes).name)

        async def add_model() -> None:
            await self._client.create(objects.model(models))

        async def roll() -> None:
            agents.roll(_NEW_VERSION)

        phases: dict[str, tuple[Callable[[], Awaitable[None]], Callable[[], bool]]] = {
            "node_added": (add_node, lambda: self._all_hold(nodes + 1, models)),
            "node_removed": (remove_node, lambda: len(agents.said) == nodes and self._all_hold(nodes, models)),
            "model_added": (add_model, lambda: self._all_hold(nodes, models + 1)),
            "agents_rolled": (roll, lambda: agents.all_run(_NEW_VERSION)),
        }
        after: dict[str, Phase] = {}
        for name, (change, done) in phases.items():
            self._say(name.replace("_", " "))
            after[name] = await self._phase(change, done, manager)
            if not after[name].ready:
                break
        return msgspec.structs.replace(result, after=after)

    async def _phase(
        self, change: Callable[[], Awaitable[None]], done: Callable[[], bool], manager: ServiceProcess
    ) -> Phase:
        before, cpu_before, start = self._audit.read(), cpu_seconds(manager.pid), _now()
        await change()
        ready = await self._until(done, "the change is everywhere")
        seconds = _now() - start
        if ready:
            await self._quiet(self._options.quiet_seconds)
        writes = self._audit.read().since(before)
        return Phase(
            ready=ready,
            seconds=round(seconds, 1) if ready else None,
            writes=writes.by_kind,
            writes_total=writes.total,
            conflicts=writes.conflicts,
            refused=writes.refused,
            manager_cpu_seconds=round(cpu_seconds(manager.pid) - cpu_before, 2),
        )

    async def _ended(self, result: Result, manager: ServiceProcess) -> Result:
        """With what is measured over the whole run, however far it came."""
        bodies = await cluster.request_bytes(self._plane)
        verbs = {(kind.split()[0], kind.split()[1].partition("/")[0]) for kind in self._audit.read().by_kind}
        his = {key for key in verbs if self._audit.is_only_his(*key)}
        lost = None
        if result.ready and all(phase.ready for phase in result.after.values()):
            lost = lost_updates(
                [node.name for node in await list_all(self._client, Node)],
                await list_all(self._client, LocalModelCache),
                await list_all(self._client, LocalModelNode),
                self._agents.said,
            )
            for words in lost[:10]:
                self._say(f"lost: {words}")
        return msgspec.structs.replace(
            result,
            manager_peak_rss_bytes=peak_rss_bytes(manager.pid),
            request_bytes={" ".join(key): bodies[key] for key in sorted(his) if bodies.get(key)},
            lost_updates=len(lost) if lost is not None else None,
        )

    def _all_hold(self, nodes: int, models: int) -> bool:
        """Whether the status of each of so many caches counts so many whole copies."""
        caches = self._caches.list()
        return len(caches) == models and self._full(caches, nodes) == models

    def _full(self, caches: list[LocalModelCache], nodes: int) -> int:
        copies = (cache.status.copies for cache in caches)
        return sum(one is not None and one.available == one.total == nodes for one in copies)

    async def _until(self, done: Callable[[], bool], what: str) -> bool:
        """Wait for it, and tell how far it is. Raises the `ServiceFailed` of a process that ended meanwhile."""
        start = told = _now()
        while not done():
            await self._sleep(_LOOK_SECONDS)
            if _now() - start > self._options.timeout_seconds:
                return False
            if _now() - told >= _TELL_SECONDS:
                told = _now()
                self._say(f"{told - start:.0f} s until {what}: {self._progress()}")
        return True

    def _progress(self) -> str:
        caches = self._caches.list()
        copies = sum(cache.status.copies.available for cache in caches if cache.status.copies is not None)
        writes = self._audit.read()
        return (
            f"{len(self._agents.said)} agents, {len(caches)} models, {copies} copies counted, {writes.total} writes of "
            f"the manager, {writes.conflicts} conflicts"
        )

    async def _quiet(self, quiet_seconds: float) -> None:
        """Wait until the manager has written nothing for so long."""
        writes, since = self._audit.read(), _now()
        deadline = since + self._options.timeout_seconds
        while _now() - since < quiet_seconds and _now() < deadline:
            await self._sleep(_LOOK_SECONDS)
            now = self._audit.read()
            if now != writes:
                writes, since = now, _now()

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self._failure.error is not None:
            raise self._failure.error


def _now() -> float:
    return asyncio.get_running_loop().time()


async def run_bench(options: BenchOptions, directory: Path, say: Callable[[str], None]) -> Result:
    """One size, from nothing to nothing. Raises `NoBinaries` without a control plane, `ServiceFailed` when a process
    ended by itself.
    """
    failure = _Failure()
    runtime = AsyncioRuntime()
    async with contextlib.AsyncExitStack() as stack:
        say("starting a control plane")
        plane = await stack.enter_async_context(cluster.running_plane(directory / "plane", failure.tell))
        client = await plane.client("manager-scale-load")
        say(f"creating {options.nodes} nodes")
        await cluster.arrange(client, options.nodes)
        agents = FakeAgents(runtime, await plane.client("manager-scale-agents"))
        caches = Informer(runtime, client, LocalModelCache, resync_seconds=0)
        for running in (agents.run(), caches.run()):
            task = asyncio.create_task(running)
            stack.push_async_callback(_cancel, task)
        kubeconfig = directory / "manager.kubeconfig"
        plane.write_kubeconfig(kubeconfig, "manager")
        say("starting the manager")
        manager = await stack.enter_async_context(running_manager(kubeconfig, directory, failure.tell))
        return await Bench(options, plane, client, agents, caches, failure, say).measure(manager)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
