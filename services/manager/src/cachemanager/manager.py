"""The manager: observers, controllers and leader election, wired over the ports."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry

from cachecore.controller.controller import Controller
from cachecore.controller.lease import LeaderElection
from cachecore.events import EventRecorder
from cachecore.names import MANAGER_LEASE
from cachecore.ports.cluster import ClusterClient
from cachecore.ports.runtime import Runtime
from cachecore.tasks import TaskGroup
from cachemanager.cache_reconciler import CacheReconciler
from cachemanager.chosen import Placements
from cachemanager.fleet import Fleet
from cachemanager.gathering import Gatherer
from cachemanager.group_reconciler import GroupReconciler
from cachemanager.identity import CacheId
from cachemanager.metrics import CountingClient, ManagerMetrics
from cachemanager.node_reconciler import NodeReconciler
from cachemanager.observers import Observers, Sink
from cachemanager.options import ManagerOptions
from cachemanager.service_index import ServiceIndex
from cachemanager.volume_writer import VolumeWriter

COMPONENT = "localmodel-manager"
# News from agents are gathered so long, and longer the more copies there are: a pass looks at all nodes of a cache.
_NEWS_SECONDS = 0.2
_LONGEST_NEWS_SECONDS = 5.0
_COPIES_LOOKED_AT_PER_SECOND = 50_000
_GROUP_NEWS_SECONDS = 1.0
_NODES_SETTLED_PER_SECOND = 1_000.0
_NODES_WRITTEN_PER_SECOND = 100.0


class Manager:
    """`run` works until cancelled. Several may run at once: one leads, and every write has a precondition anyway."""

    def __init__(
        self,
        runtime: Runtime,
        client: ClusterClient,
        options: ManagerOptions = ManagerOptions(),
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._runtime = runtime
        self._options = options
        self._metrics = ManagerMetrics(registry if registry is not None else CollectorRegistry())
        self._election = self._make_election(client) if options.leader_election else None
        fenced = client if self._election is None else self._election.fenced(client)
        # Events are not what the manager is measured by.
        self._event_client = fenced
        self.client = CountingClient(fenced, self._metrics)
        self.fleet = Fleet(options.tolerated_taint_keys)
        self._placements = Placements(self.fleet, runtime.monotonic)
        self._services = ServiceIndex()
        self._observers = Observers(runtime, self.client, self.fleet, self._placements, self._services, options)
        self._volumes = VolumeWriter(self.client, self._observers.volumes, self._observers.claims)
        self._metrics.count_fleet(self.fleet)
        self._leading = False
        self._synced = False

    @property
    def ready(self) -> bool:
        """Whether all is known: a standby is ready too."""
        return self._synced

    @property
    def leading(self) -> bool:
        return self._leading

    async def run(self) -> None:
        group = TaskGroup(self._runtime)
        group.spawn(self._observers.run(), name="observers")
        group.spawn(self._campaign(), name="campaign")
        await group.join()

    async def _campaign(self) -> None:
        await self._observers.wait_synced()
        self._synced = True
        if self._election is None:
            await self._lead()
        else:
            await self._election.run(self._lead)

    def _make_election(self, client: ClusterClient) -> LeaderElection:
        return LeaderElection(
            self._runtime,
            client,
            namespace=self._options.system_namespace,
            name=MANAGER_LEASE,
            identity=self._options.identity,
        )

    async def _lead(self) -> None:
        """Reconcile everything once, then what changes. Each leadership starts with queues of its own."""
        events = EventRecorder(self._runtime, self._event_client, component=COMPONENT, host=self._options.identity)
        controllers = Controllers(self, events)
        self._leading = True
        self._metrics.leading.set(1)
        self._observers.sink = controllers
        try:
            await controllers.run()
        finally:
            self._observers.sink = Sink()
            self._leading = False
            self._metrics.leading.set(0)


class Controllers(Sink):
    """The controllers of one leadership, and when each kind of change reaches them."""

    def __init__(self, manager: Manager, events: EventRecorder) -> None:
        runtime, client, options = manager._runtime, manager.client, manager._options
        self._runtime = runtime
        self._fleet = manager.fleet
        self._events = events
        fleet, placements, services = manager.fleet, manager._placements, manager._services
        metrics = manager._metrics.controllers
        self._nodes: Controller[str] = Controller(
            runtime,
            "node",
            NodeReconciler(client, fleet, placements, services, options),
            workers=options.node_workers,
            metrics=metrics,
        )
        self._caches: Controller[CacheId] = Controller(
            runtime,
            "cache",
            CacheReconciler(
                runtime,
                client,
                fleet,
                placements,
                services,
                manager._volumes,
                events,
                options,
                enqueue_node=self._enqueue_node,
            ),
            workers=options.cache_workers,
            metrics=metrics,
        )
        self._groups: Controller[str] = Controller(
            runtime, "nodegroup", GroupReconciler(runtime, client, fleet, options), metrics=metrics
        )
        self._options = options
        self._settling = Gatherer(runtime, self._enqueue_node, self._settle_seconds)

    async def run(self) -> None:
        self.nodes_settled({**dict.fromkeys(self._fleet.nodes), **dict.fromkeys(self._fleet.local_nodes)})
        self.caches_now(self._fleet.caches)
        self.groups_reported(self._fleet.groups)
        group = TaskGroup(self._runtime)
        for controller in (self._nodes, self._caches, self._groups):
            group.spawn(controller.run(), name=f"controller-{controller.name}")
        group.spawn(self._settling.run(), name="settling")
        group.spawn(self._events.run(), name="events")
        await group.join()

    def nodes_now(self, nodes: Iterable[str]) -> None:
        for node in nodes:
            self._nodes.enqueue(node)

    def nodes_settled(self, nodes: Iterable[str]) -> None:
        self._settling.add(nodes)

    def nodes_reported(self, nodes: Iterable[str]) -> None:
        for node in nodes:
            self._nodes.enqueue(node, delay_seconds=_NEWS_SECONDS)

    def caches_now(self, caches: Iterable[CacheId]) -> None:
        for cache in caches:
            self._caches.enqueue(cache)

    def caches_reported(self, caches: Iterable[CacheId]) -> None:
        delay = self._news_seconds()
        for cache in caches:
            self._caches.enqueue(cache, delay_seconds=delay)

    def groups_reported(self, groups: Iterable[str]) -> None:
        for group in groups:
            self._groups.enqueue(group, delay_seconds=_GROUP_NEWS_SECONDS)

    def _enqueue_node(self, node: str) -> None:
        self._nodes.enqueue(node)

    def _settle_seconds(self) -> tuple[float, float]:
        """Longer for many nodes: to write all of them twice would take longer still."""
        nodes = len(self._fleet.nodes)
        return (
            max(self._options.settle_seconds, nodes / _NODES_SETTLED_PER_SECOND),
            max(self._options.longest_settle_seconds, nodes / _NODES_WRITTEN_PER_SECOND),
        )

    def _news_seconds(self) -> float:
        copies = len(self._fleet.nodes) * len(self._fleet.caches)
        return min(_LONGEST_NEWS_SECONDS, max(_NEWS_SECONDS, copies / _COPIES_LOOKED_AT_PER_SECOND))
