"""What the manager watches, and which keys each change concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from cachecore import names
from cachecore.controller.informer import Informer
from cachecore.ports.cluster import ClusterClient
from cachecore.ports.runtime import Runtime
from cachecore.resources.core import Node, PersistentVolume, PersistentVolumeClaim, Pod
from cachecore.resources.meta import Resource
from cachecore.resources.serving import (
    InferenceService,
    LLMInferenceService,
    LocalModelCache,
    LocalModelNamespaceCache,
    LocalModelNode,
    LocalModelNodeGroup,
)
from cachecore.tasks import TaskGroup
from cachemanager.chosen import Placements
from cachemanager.demand import pod_need
from cachemanager.fleet import Fleet, Touched
from cachemanager.identity import AnyCache, CacheId, cache_id, parse_cache_id
from cachemanager.optional_kind import OptionalKind
from cachemanager.options import ManagerOptions
from cachemanager.service_index import AnyService, ServiceIndex, service_id
from cachemanager.sharing import Sharing
from cachemanager.volume_writer import identity_of
from cachemanager.volumes import OWNED_SELECTOR

R = TypeVar("R", bound=Resource)
T = TypeVar("T")


class Sink:
    """Where the observers send keys; the manager's controllers while it leads."""

    def nodes_now(self, nodes: Iterable[str]) -> None:
        """A node's own change: at once."""

    def nodes_settled(self, nodes: Iterable[str]) -> None:
        """A change that concerns many nodes: when it has settled."""

    def nodes_reported(self, nodes: Iterable[str]) -> None:
        """News from agents: soon."""

    def caches_now(self, caches: Iterable[CacheId]) -> None:
        """A change of what the cache should be: at once."""

    def caches_reported(self, caches: Iterable[CacheId]) -> None:
        """News from nodes: soon."""

    def groups_reported(self, groups: Iterable[str]) -> None:
        """News for a group's status: soon."""


class Observers:
    """The informers, feeding the fleet and the service index."""

    def __init__(
        self,
        runtime: Runtime,
        client: ClusterClient,
        fleet: Fleet,
        placements: Placements,
        services: ServiceIndex,
        options: ManagerOptions,
    ) -> None:
        self._runtime = runtime
        self._fleet = fleet
        self._placements = placements
        self._services = services
        self.sink = Sink()

        def informer(
            kind: type[R],
            listener: Callable[[R | None, R | None], None],
            selector: str = "",
            page_size: int = 500,
            transform: Callable[[R], R] | None = None,
        ) -> Informer[R]:
            made = Informer(
                runtime,
                client,
                kind,
                label_selector=selector,
                resync_seconds=options.resync_seconds,
                page_size=page_size,
                transform=transform,
            )
            made.add_listener(listener)
            return made

        self.volumes = informer(PersistentVolume, self._on_owned, OWNED_SELECTOR)
        self.claims = informer(PersistentVolumeClaim, self._on_owned, OWNED_SELECTOR)
        self._required: list[Informer[Any]] = [
            informer(Node, self._on_node),
            informer(LocalModelNodeGroup, self._on_group),
            informer(LocalModelCache, self._on_cache),
            informer(LocalModelNamespaceCache, self._on_cache),
            # One with a hundred models is 60 kB: a page of them must not be what the memory has to be made for.
            informer(LocalModelNode, self._on_local_node, page_size=100, transform=Sharing()),
            informer(Pod, self._on_pod, names.POD_KEY_LABEL),
            self.volumes,
            self.claims,
        ]
        recheck = options.absent_kind_seconds
        self._optional: list[OptionalKind[Any]] = [
            OptionalKind(runtime, client, informer(InferenceService, self._on_service), recheck_seconds=recheck),
            OptionalKind(runtime, client, informer(LLMInferenceService, self._on_service), recheck_seconds=recheck),
        ]

    @property
    def synced(self) -> bool:
        return all(informer.synced for informer in self._required)

    async def wait_synced(self) -> None:
        """Wait until everything is known; nothing may be decided, least of all deleted, before."""
        for informer in self._required:
            await informer.wait_synced()
        for optional in self._optional:
            await optional.wait_known()

    async def run(self) -> None:
        group = TaskGroup(self._runtime)
        for informer in self._required:
            group.spawn(informer.run(), name=f"observe-{informer.kind.resource_type.plural}")
        for optional in self._optional:
            group.spawn(optional.run(), name="observe-services")
        await group.join()

    def _on_node(self, old: Node | None, new: Node | None) -> None:
        name = _either(old, new).name
        touched = self._fleet.put_node(name, new)
        self._placements.invalidate(touched)
        self.sink.nodes_now(_with_resync(touched.nodes, name, same=old is new))
        self._pass_status(touched)

    def _on_group(self, old: LocalModelNodeGroup | None, new: LocalModelNodeGroup | None) -> None:
        name = _either(old, new).name
        touched = self._fleet.put_group(name, new)
        self._placements.invalidate(touched)
        self.sink.nodes_settled(touched.nodes)
        self.sink.caches_now(touched.caches)
        self.sink.groups_reported(touched.groups)

    def _on_cache(self, old: AnyCache | None, new: AnyCache | None) -> None:
        cache = old if new is None else new
        if cache is None:
            return
        identity = cache_id(cache)
        touched = self._fleet.put_cache(identity, new)
        if touched.caches:
            self._placements.spec_changed(identity)
            changed = self._services.put_cache(new) if new is not None else self._services.remove_cache(identity)
            touched.caches.update(dict.fromkeys(changed))
        self.sink.caches_now(_with_resync(touched.caches, identity, same=old is new))
        self.sink.nodes_settled(touched.nodes)

    def _on_local_node(self, old: LocalModelNode | None, new: LocalModelNode | None) -> None:
        name = _either(old, new).name
        touched = self._fleet.put_local_node(name, new)
        self._placements.reported(touched)
        if new is None or old is None:
            self.sink.nodes_now([name])
        self.sink.nodes_reported(_with_resync(touched.nodes, name, same=old is new))
        self._pass_status(touched)

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        pod = _either(old, new)
        touched = self._fleet.put_pod(pod.namespace, pod.name, pod_need(new) if new is not None else None)
        self._placements.invalidate(touched)
        self.sink.nodes_now(touched.nodes)
        self.sink.caches_now(touched.caches)

    def _on_service(self, old: AnyService | None, new: AnyService | None) -> None:
        service = old if new is None else new
        if service is None:
            return
        if new is None:
            changed = self._services.remove_service(service_id(service))
        elif old is None or old.spec != new.spec or old.metadata != new.metadata:
            changed = self._services.put_service(new)
        else:
            return
        self.sink.caches_now(changed)
        for identity in changed:
            # Whether it is referenced is in the spec of each node that has it.
            self.sink.nodes_settled(self._fleet.listing_nodes(identity))

    def _on_owned(
        self, old: PersistentVolume | PersistentVolumeClaim | None, new: PersistentVolume | PersistentVolumeClaim | None
    ) -> None:
        owned = old if new is None else new
        for identity in identity_of(owned) if owned is not None else ():
            self.sink.caches_reported([parse_cache_id(identity)])

    def _pass_status(self, touched: Touched) -> None:
        self.sink.caches_reported(touched.caches)
        self.sink.groups_reported(touched.groups)


def _either(old: R | None, new: R | None) -> R:
    resource = new if new is not None else old
    assert resource is not None  # noqa: S101 - for the type checker: an informer tells of something
    return resource


def _with_resync(touched: dict[T, None], key: T, *, same: bool) -> dict[T, None]:
    """A resync, which tells the same object twice, has its own key looked at again."""
    return {**touched, key: None} if same else touched
