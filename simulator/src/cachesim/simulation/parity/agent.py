"""An agent's decision, made again: on a simulated disk that holds these copies, for a spec and pods in an API server.

The way is production's own, from the disk and the objects to the plan. What was in the memory of the agent alone (what
runs, when it is tried again) is put there, and of the disk's use what was seen is told, not what the tree takes.
"""

from __future__ import annotations

import msgspec
from prometheus_client import CollectorRegistry

from cacheagent import decisions
from cacheagent.context import NodeContext
from cacheagent.decisions import CopySeen, KeySeen, ListingSeen, NodePlanned, NodeSeen
from cacheagent.demand import Recipe, demands
from cacheagent.ledger import Ledger
from cacheagent.listing import Listing
from cacheagent.memory import Memory
from cacheagent.metrics import AgentMetrics
from cacheagent.options import AgentOptions
from cacheagent.reconciler import PODS_INDEX, NodeReconciler, keys_in_use
from cacheagent.records import Failure, Records, Source
from cacheagent.reporter import Reporter
from cacheagent.store import Store
from cacheagent.transfer import Progress
from cacheagent.works import Works
from cachecore.controller.informer import Informer
from cachecore.names import POD_KEY_LABEL, storage_key
from cachecore.ports import Allocation, Credentials, DiskUsage, ObjectInfo
from cachecore.resources.core import Pod
from cachecore.resources.meta import JsonObject, ObjectMeta, to_object
from cachecore.resources.serving import LocalModelInfo, LocalModelNode, LocalModelNodeSpec
from cachecore.store import layout, manifest
from cachecore.store.digest import PART_BYTES
from cachesim.disk import DiskWorld, SimulatedDisk
from cachesim.network import Link, Network
from cachesim.runtime import SimpyRuntime
from cachesim.simulation.parity.world import NAMESPACE, Moment
from cachesim.source import FlowMover, SimulatedStore, SimulatedStores, SourceWorld

_FILE = "model"
_BEGUN = Progress(done_bytes=0, total_bytes=0, fetched_bytes=0, allocated_bytes=0)


class SeenDisk(SimulatedDisk):
    """The tree is what was seen; so is the disk's use, which others than the models have their part in."""

    def __init__(self, runtime: SimpyRuntime, world: DiskWorld, usage: DiskUsage) -> None:
        super().__init__(runtime, world)
        self._usage = usage

    async def usage(self) -> DiskUsage:
        return self._usage

    async def _take_time(self) -> None:
        """None: the decision is made at its own moment."""


class AgentMoment:
    """The agent of one node at the moment of its decision."""

    def __init__(self, logged: NodePlanned) -> None:
        self._host, self._seen = logged.host, logged.seen
        self._moment = Moment(monotonic_seconds=self._seen.monotonic_seconds, now_seconds=self._seen.now_seconds)
        # Of a copy only its digest was seen, not its files: here it has one file, and so another digest.
        self._manifests = {seen.key: _manifest_of(seen, seen.held) for seen in self._seen.keys if seen.held is not None}
        self._digests = [
            (seen.key, seen.held.digest, self._manifests[seen.key].digest)
            for seen in self._seen.keys
            if seen.held is not None
        ]

    def decide(self) -> NodePlanned | None:
        """The plan; None when nothing is to be done."""
        try:
            reconciler = self._moment.runtime.run(self._arrange())
            decision = self._moment.heard_from(decisions.logger, reconciler.reconcile(self._host))
        finally:
            self._moment.runtime.close()
        return self._with_seen_digests(decision) if isinstance(decision, NodePlanned) else None

    async def _arrange(self) -> NodeReconciler:
        moment, seen, runtime = self._moment, self._seen, self._moment.runtime
        await moment.begin()
        disk = SeenDisk(runtime, self._disk_world(), seen.disk)
        context = NodeContext(
            runtime=runtime,
            client=moment.client,
            options=_options(self._host, seen),
            store=(store := Store(runtime, disk)),
            memory=Memory(runtime, store),
            records=Records(),
            metrics=AgentMetrics(CollectorRegistry()),
            tell=lambda _type, _reason, _message: None,
            changed=lambda: None,
        )
        nodes = Informer(runtime, moment.client, LocalModelNode)
        pods = Informer(runtime, moment.client, Pod)
        pods.add_index(PODS_INDEX, keys_in_use)
        source = SourceWorld(link=Link("s3", 1e9), latency_seconds=0.01)
        stores = SimulatedStores(runtime, source)
        mover = FlowMover(runtime, Network(runtime), source, disk)
        reconciler = NodeReconciler(
            context,
            nodes=nodes,
            pods=pods,
            works=Works(context, stores, mover),
            reporter=Reporter(runtime, moment.client, context.metrics, progress_seconds=1.0),
        )
        # An agent that has just started looks at the disk before it knows what to hold.
        await reconciler.reconcile(self._host)
        # What is damaged was found by reading files that are not here.
        for one in seen.keys:
            if one.damaged:
                store.unproven.pop(one.key, None)
                store.damaged[one.key] = one.damaged
        self._remember(context.records, source)
        await self._create_objects()
        for informer in (nodes, pods):
            runtime.spawn(informer.run(), name="informer")
            await informer.wait_synced()
        await moment.wait_for_the_moment()
        return reconciler

    def _disk_world(self) -> DiskWorld:
        sizes = [copy.size_bytes for copy in self._manifests.values()]
        sizes += [seen.staged_bytes or 0 for seen in self._seen.keys]
        world = DiskWorld(sum(sizes) + self._seen.trash_bytes + 2**40)
        world.write(layout.STORE_ID_PATH, b"parity\n")
        ledger = Ledger(entries={seen.key: seen.ledger for seen in self._seen.keys})
        world.write(layout.LEDGER_PATH, msgspec.json.encode(ledger))
        if self._seen.trash_bytes:
            world.allocate(Allocation(layout.trash_path(f"old/{_FILE}"), self._seen.trash_bytes))
        for seen in self._seen.keys:
            _put_on_disk(world, seen, self._manifests.get(seen.key))
        return world

    def _remember(self, records: Records, source: SourceWorld) -> None:
        """What the agent knew of each key while it ran."""
        wanted = demands(self._entries())
        store = SimulatedStore(self._moment.runtime, source, source.open("", Credentials()))
        for seen in self._seen.keys:
            recipe = wanted[seen.key].recipe if seen.key in wanted else ()
            records.change(
                seen.key,
                work=seen.work,
                progress=_BEGUN if seen.moving else None,
                source=None if seen.listing is None else _source_of(seen.listing, store, recipe),
                failure=None if seen.retry_at_seconds is None else _failure_until(seen.retry_at_seconds, recipe),
                rejected=seen.rejected,
                start_at_seconds=seen.start_at_seconds,
            )

    async def _create_objects(self) -> None:
        spec = LocalModelNodeSpec(local_models=self._entries(), storage=self._seen.spec.storage)
        node = LocalModelNode(metadata=ObjectMeta(name=self._host), spec=spec)
        await self._moment.create(to_object(node))
        for seen in self._seen.keys:
            if seen.in_use:
                await self._moment.create(_pod_using(seen.key, self._host))

    def _entries(self) -> tuple[LocalModelInfo, ...]:
        """The spec's; where it asks for the digest of the copy that is held, for that of the copy here."""
        return tuple(
            msgspec.structs.replace(entry, digest=self._digest_here(storage_key(entry.source_model_uri), entry.digest))
            for entry in self._seen.spec.local_models
        )

    def _digest_here(self, key: str, digest: str) -> str:
        return next((here for one, seen, here in self._digests if (one, seen) == (key, digest)), digest)

    def _with_seen_digests(self, plan: NodePlanned) -> NodePlanned:
        """The reasons in the words that they have where the decision was made."""
        actions = []
        for action in plan.actions:
            reason = action.reason
            for _, seen, here in self._digests:
                reason = reason.replace(here, seen)
            actions.append(msgspec.structs.replace(action, reason=reason))
        return msgspec.structs.replace(plan, actions=tuple(actions))


def _options(host: str, seen: NodeSeen) -> AgentOptions:
    return AgentOptions(
        node_name=host,
        default_concurrent_downloads=seen.default_concurrent_downloads,
        listing_seconds=seen.listing_seconds,
        # One look at the disk: by the second one what runs here would have to be on it.
        rescan_seconds=1e9,
    )


def _manifest_of(seen: KeySeen, copy: CopySeen) -> manifest.Manifest:
    return manifest.make_manifest(
        key=seen.key,
        source_model_uri="",
        part_bytes=PART_BYTES,
        files=(manifest.make_file(f"{seen.key}/{_FILE}", copy.size_bytes, "", ()),),
        now=seen.ledger.usage.arrived_seconds,
        allow_patterns=copy.allow_patterns,
        ignore_patterns=copy.ignore_patterns,
    )


def _source_of(listing: ListingSeen, store: SimulatedStore, recipe: Recipe) -> Source:
    return Source(
        store=store,
        listing=Listing(
            uri="",
            objects=(ObjectInfo(path=_FILE, location=_FILE, size_bytes=listing.size_bytes),),
            listed_seconds=listing.listed_seconds,
        ),
        recipe=recipe if listing.current else ("another",),
        entry=LocalModelInfo(source_model_uri="", model_name=""),
        credentials=Credentials(),
    )


def _failure_until(due_seconds: float, recipe: Recipe) -> Failure:
    return Failure(reason="", message="", attempts=1, retry_at_seconds=0.0, due_seconds=due_seconds, recipe=recipe)


def _put_on_disk(world: DiskWorld, seen: KeySeen, whole: manifest.Manifest | None) -> None:
    folder = layout.published_path(seen.key)
    if seen.view:
        world.make_directory(layout.view_models_path(seen.key))
    if whole is not None:
        world.write(layout.manifest_path(seen.key), manifest.encode(whole))
        for file in whole.files:
            world.allocate(Allocation(f"{folder}/{file.path}", file.size_bytes))
    elif seen.damaged or seen.unproven:
        world.make_directory(folder)
    if seen.legacy:
        world.make_directory(layout.legacy_path(seen.key))
    if seen.staged_bytes is not None:
        world.make_directory(layout.staging_files_path(seen.key))
        world.allocate(Allocation(f"{layout.staging_files_path(seen.key)}/{_FILE}", seen.staged_bytes))


def _pod_using(key: str, node: str) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"uses-{key}", "namespace": NAMESPACE, "labels": {POD_KEY_LABEL: key}},
        "spec": {"nodeName": node, "containers": [{"name": "server", "image": "server"}]},
    }
