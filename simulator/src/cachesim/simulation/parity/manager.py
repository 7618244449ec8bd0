"""A manager's decision, made again: its observers read the objects from an API server, its reconciler decides.

Where a cache with `copies` goes was chosen over the whole fleet, which isn't here: that much is told.
"""

from __future__ import annotations

from cachecore.names import (
    CACHE_FINALIZER,
    LOCAL_MODEL_LABEL,
    LOCAL_MODEL_NAMESPACE_LABEL,
    NAMESPACE_CACHE_FINALIZER,
    POD_KEY_LABEL,
    storage_key,
)
from cachecore.resources.meta import JsonObject, ObjectMeta, OwnerReference, to_object
from cachecore.resources.serving import (
    LocalModelCache,
    LocalModelNamespaceCache,
    LocalModelNode,
)
from cachemanager import decisions
from cachemanager.chosen import Placements
from cachemanager.decisions import CacheSeen, NodeSpecified
from cachemanager.fleet import Fleet
from cachemanager.identity import AnyCache, CacheId, cache_id
from cachemanager.node_reconciler import NodeReconciler
from cachemanager.observers import Observers
from cachemanager.options import ManagerOptions
from cachemanager.service_index import ServiceIndex
from cachesim.simulation.parity.world import NAMESPACE, Moment


class ToldPlacements(Placements):
    """Knows where the caches with `copies` were placed; of the others it decides."""

    def __init__(self, fleet: Fleet, moment: Moment, chosen: dict[CacheId, str]) -> None:
        super().__init__(fleet, moment.runtime.monotonic)
        self._told = chosen

    def assigned_group(self, cache: AnyCache, node: str, identity: CacheId | None = None) -> str:
        if cache.spec.copies is not None:
            return self._told.get(cache_id(cache), "")
        return super().assigned_group(cache, node, identity)


class ManagerMoment:
    """The manager at the moment of its decision about one node."""

    def __init__(self, logged: NodeSpecified) -> None:
        self._host, self._seen = logged.host, logged.seen
        self._moment = Moment()

    def decide(self) -> NodeSpecified | None:
        """The spec; None when the present one stays."""
        try:
            reconciler = self._moment.runtime.run(self._arrange())
            decision = self._moment.heard_from(decisions.logger, reconciler.reconcile(self._host))
        finally:
            self._moment.runtime.close()
        return decision if isinstance(decision, NodeSpecified) else None

    async def _arrange(self) -> NodeReconciler:
        moment = self._moment
        await moment.begin()
        await self._create_objects()
        options = ManagerOptions(tolerated_taint_keys=self._seen.tolerated_taint_keys)
        fleet, services = Fleet(options.tolerated_taint_keys), ServiceIndex()
        chosen = {CacheId(cache.namespace, cache.name): cache.chosen_group for cache in self._seen.caches}
        placements = ToldPlacements(fleet, moment, chosen)
        observers = Observers(moment.runtime, moment.client, fleet, placements, services, options)
        moment.runtime.spawn(observers.run(), name="observers")
        await observers.wait_synced()
        await moment.wait_for_the_moment()
        return NodeReconciler(moment.client, fleet, placements, services, options)

    async def _create_objects(self) -> None:
        moment, seen = self._moment, self._seen
        uid = await moment.create_node(seen.node)
        for group in seen.groups:
            await moment.create(to_object(group))
        for cache in seen.caches:
            await self._create_cache(cache)
        if seen.spec is not None:
            owner = OwnerReference(api_version="v1", kind="Node", name=self._host, uid=uid)
            metadata = ObjectMeta(name=self._host, owner_references=(owner,))
            await moment.create(to_object(LocalModelNode(metadata=metadata, spec=seen.spec)))

    async def _create_cache(self, cache: CacheSeen) -> None:
        moment = self._moment
        kind = LocalModelNamespaceCache if cache.namespace else LocalModelCache
        finalizer = NAMESPACE_CACHE_FINALIZER if cache.namespace else CACHE_FINALIZER
        metadata = ObjectMeta(
            name=cache.name, namespace=cache.namespace, finalizers=(finalizer,) if cache.finalizer else ()
        )
        await moment.create(to_object(kind(metadata=metadata, spec=cache.spec)))
        if cache.demanded:
            await moment.create(_pod_of(cache, self._host))
        if cache.used:
            await moment.create(_service_of(cache))
        if cache.being_deleted:
            await moment.client.delete(kind, cache.name, namespace=cache.namespace)


def _pod_of(cache: CacheSeen, node: str) -> JsonObject:
    """A pod of the node that needs the cache: of its namespace, or of one that has no cache of its own."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"uses-{cache.name}",
            "namespace": cache.namespace or NAMESPACE,
            "labels": {POD_KEY_LABEL: storage_key(cache.spec.source_model_uri)},
        },
        "spec": {"nodeName": node, "containers": [{"name": "server", "image": "server"}]},
    }


def _service_of(cache: CacheSeen) -> JsonObject:
    labels = {LOCAL_MODEL_LABEL: cache.name}
    labels |= {LOCAL_MODEL_NAMESPACE_LABEL: cache.namespace} if cache.namespace else {}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": f"uses-{cache.name}", "namespace": cache.namespace or NAMESPACE, "labels": labels},
        "spec": {"predictor": {"model": {"storageUri": cache.spec.source_model_uri}}},
    }
