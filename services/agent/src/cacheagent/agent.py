"""The agent of one node: its informers, its reconcile loop, and what runs beside it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from cacheagent.context import NodeContext
from cacheagent.memory import Memory
from cacheagent.metrics import AgentMetrics
from cacheagent.options import AgentOptions
from cacheagent.reconciler import PODS_INDEX, NodeReconciler, keys_in_use
from cacheagent.records import Records
from cacheagent.reporter import Reporter
from cacheagent.store import Store
from cacheagent.sweeping import Sweeper
from cacheagent.works import Works
from cachecore.controller.controller import Controller
from cachecore.controller.informer import Informer
from cachecore.controller.metrics import ControllerMetrics
from cachecore.events import EventRecorder
from cachecore.ports import ClusterClient, Disk, ObjectStores, PartMover, Runtime
from cachecore.resources.core import Pod
from cachecore.resources.serving import LocalModelNode
from cachecore.tasks import TaskGroup
from cachecore.timestamps import parse_timestamp


class Agent:
    """Keeps the models of the node `options.node_name` on `disk`. Only its ports are awaited."""

    def __init__(
        self,
        runtime: Runtime,
        client: ClusterClient,
        disk: Disk,
        object_stores: ObjectStores,
        part_mover: PartMover,
        options: AgentOptions,
        registry: CollectorRegistry | None = None,
    ) -> None:
        registry = registry if registry is not None else CollectorRegistry()
        self._runtime = runtime
        self._options = options
        name = options.node_name
        self._nodes = Informer(
            runtime,
            client,
            LocalModelNode,
            field_selector=f"metadata.name={name}",
            resync_seconds=options.resync_seconds,
        )
        self._pods = Informer(
            runtime, client, Pod, field_selector=f"spec.nodeName={name}", resync_seconds=options.resync_seconds
        )
        self._pods.add_index(PODS_INDEX, keys_in_use)
        self._recorder = EventRecorder(runtime, client, component="localmodel-agent", host=name)
        self._store = Store(runtime, disk)
        self._memory = Memory(runtime, self._store)
        context = NodeContext(
            runtime=runtime,
            client=client,
            options=options,
            store=self._store,
            memory=self._memory,
            records=Records(),
            metrics=AgentMetrics(registry),
            tell=self._tell,
            changed=self._changed,
        )
        self._works = Works(context, object_stores, part_mover)
        self._sweeper = Sweeper(runtime, self._store, busy=lambda: bool(self._works.busy), changed=self._changed)
        reconciler = NodeReconciler(
            context,
            nodes=self._nodes,
            pods=self._pods,
            works=self._works,
            reporter=Reporter(runtime, client, context.metrics, progress_seconds=options.progress_seconds),
        )
        self._controller = Controller(runtime, "agent", reconciler, metrics=ControllerMetrics(registry))

    @property
    def ready(self) -> bool:
        """Whether the agent knows what to hold and what pods use."""
        return self._nodes.synced and self._pods.synced

    async def run(self) -> None:
        """Until cancelled."""
        group = TaskGroup(self._runtime)
        group.spawn(self._nodes.run(), name="informer-node")
        group.spawn(self._pods.run(), name="informer-pods")
        group.spawn(self._recorder.run(), name="events")
        group.spawn(self._sweeper.run(), name="trash")
        group.spawn(self._reconcile(), name="reconcile")
        try:
            await group.join()
        finally:
            self._works.stop()

    async def _reconcile(self) -> None:
        # Without the pods a copy that is in use would look idle, without the node every copy like an orphan.
        await self._nodes.wait_synced()
        await self._pods.wait_synced()
        self._nodes.add_listener(lambda _old, _new: self._changed())
        self._pods.add_listener(self._pod_changed)
        self._changed()
        await self._controller.run()

    def _changed(self) -> None:
        self._controller.enqueue(self._options.node_name)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """A use begins with the pod and ends with it; both are remembered."""
        before = keys_in_use(old) if old is not None else []
        after = keys_in_use(new) if new is not None else []
        if new is not None:
            created = new.metadata.creation_timestamp
            for key in after:
                if key not in before:
                    # Not the clock: an agent that starts again must not take a running pod for a new use.
                    self._memory.use(key, parse_timestamp(created) if created else self._runtime.now())
        for key in before:
            if key not in after:
                self._memory.use(key, self._runtime.now())
        if before or after:
            self._changed()

    def _tell(self, type: str, reason: str, message: str) -> None:
        node = self._nodes.get(self._options.node_name)
        if node is not None:
            self._recorder.record(node, type=type, reason=reason, message=message)
