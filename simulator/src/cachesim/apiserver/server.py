"""The API server: Kubernetes' verbs over plain JSON objects, in memory, on any Runtime."""

from __future__ import annotations

from typing import Any

from cachecore.ports import Runtime
from cachesim.apiserver.admission import Admission, AdmissionCaller
from cachesim.apiserver.binding import bind_pod
from cachesim.apiserver.bodies import check_name
from cachesim.apiserver.builtin import builtin_registry
from cachesim.apiserver.context import Context
from cachesim.apiserver.crd import Definitions
from cachesim.apiserver.decoded import Decoded
from cachesim.apiserver.deletion import Deleter
from cachesim.apiserver.errors import method_not_supported, not_found
from cachesim.apiserver.garbage import GarbageCollector
from cachesim.apiserver.managed import ManagedFields
from cachesim.apiserver.namespaces import NamespaceController, add_default_namespaces
from cachesim.apiserver.option_rules import check_delete_options, check_write_options
from cachesim.apiserver.options import Answer, DeleteOptions, WriteOptions
from cachesim.apiserver.patching import Patcher
from cachesim.apiserver.reading import Reader, parse_watch_revision
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.selectors import Selection, select
from cachesim.apiserver.store import Store
from cachesim.apiserver.watch import ServerWatch, WatchHub
from cachesim.apiserver.writes import Writer

_NO_OPTIONS = WriteOptions()
_NO_DELETE_OPTIONS = DeleteOptions()


class ApiServer:
    """One cluster's API. Objects that go in and come out are shared with the store: nobody changes them in place.

    `watch_history_events` bounds, per kind, how far back a watch can resume. `bookmark_interval_seconds` is how often
    an idle watch gets a bookmark. `track_managed_fields` False saves the cost of knowing which fields an update owns;
    what was applied is known all the same.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        watch_history_events: int = 4096,
        watch_queue_events: int = 4096,
        bookmark_interval_seconds: float = 60.0,
        admission: AdmissionCaller | None = None,
        track_managed_fields: bool = True,
    ) -> None:
        store = Store(history_events=watch_history_events)
        hub = WatchHub(
            store,
            runtime,
            queue_events=watch_queue_events,
            bookmark_interval_seconds=bookmark_interval_seconds,
        )
        registry = builtin_registry()
        self._definitions = Definitions(registry, store, hub, runtime)
        self._managed = ManagedFields(runtime)
        self._context = Context(
            runtime,
            store,
            hub,
            registry,
            rules=self._definitions,
            admission=None if admission is None else Admission(admission, store, registry, runtime),
            tracker=self._managed if track_managed_fields else None,
        )
        self.runtime = runtime
        self.registry = registry
        self.store = store
        self.hub = hub
        self.decoded = Decoded(store)
        self._reader = Reader(self._context)
        self._writer = Writer(self._context)
        self._deleter = Deleter(self._context)
        self._patcher = Patcher(self._context, self._writer, self._managed)
        self._garbage = GarbageCollector(self._context, self._deleter, self._writer)
        self._namespaces = NamespaceController(self._context, self._deleter, self._writer)
        add_default_namespaces(self._context)

    @property
    def revision(self) -> int:
        """The resourceVersion of the last write."""
        return self.store.revision

    async def get(self, resource_type: ResourceType, name: str, namespace: str = "") -> JsonObject:
        resource_type = self._served(resource_type)
        found = self.store.get(resource_type, namespace if resource_type.namespaced else "", name)
        if found is None:
            raise not_found(resource_type, name)
        return found

    async def list(
        self,
        resource_type: ResourceType,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> JsonObject:
        """A `<Kind>List`: its items in order of namespace and name."""
        resource_type = self._served(resource_type)
        return self._reader.list(
            resource_type,
            select(resource_type, namespace, label_selector, field_selector),
            limit=limit,
            continue_token=continue_token,
            resource_version=resource_version,
            resource_version_match=resource_version_match,
        )

    async def watch(
        self,
        resource_type: ResourceType,
        *,
        resource_version: str = "",
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        allow_bookmarks: bool = True,
        send_initial_events: bool = False,
        timeout_seconds: float = 300.0,
    ) -> ServerWatch:
        """Raises Expired when the history no longer reaches back to `resource_version`."""
        resource_type = self._served(resource_type)
        from_now = resource_version in ("", "0")
        return self.hub.open(
            resource_type,
            select(resource_type, namespace, label_selector, field_selector),
            revision=None if from_now else parse_watch_revision(resource_version),
            bookmarks=allow_bookmarks,
            # Without a revision a watch begins with what is there, and its end is marked as if that had been asked for.
            initial_events=send_initial_events or from_now,
            timeout_seconds=timeout_seconds,
        )

    async def create(
        self,
        resource_type: ResourceType,
        body: JsonObject,
        *,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        options: WriteOptions = _NO_OPTIONS,
    ) -> Answer:
        """Create an object; or, with `name` and `subresource`, post to a subresource (a pod's binding or eviction)."""
        check_write_options("CreateOptions", options)
        resource_type = self._served(resource_type)
        if subresource:
            return await self._create_subresource(resource_type, body, namespace, name, subresource, options)
        return await self._writer.create(resource_type, body, namespace, options)

    async def update(
        self,
        resource_type: ResourceType,
        name: str,
        body: JsonObject,
        *,
        namespace: str = "",
        subresource: str = "",
        options: WriteOptions = _NO_OPTIONS,
    ) -> Answer:
        resource_type = self._served(resource_type)
        self._check_subresource(resource_type, subresource)
        check_write_options("UpdateOptions", options)
        check_name(body, name, namespace if resource_type.namespaced else "")
        return await self._writer.modify(
            resource_type,
            name,
            namespace if resource_type.namespaced else "",
            subresource,
            lambda _: body,
            options,
            unconditional=resource_type.allows_unconditional_update and not resource_type.custom,
        )

    async def patch(
        self,
        resource_type: ResourceType,
        name: str,
        patch_type: str,
        body: Any,
        *,
        namespace: str = "",
        subresource: str = "",
        options: WriteOptions = _NO_OPTIONS,
    ) -> Answer:
        """`patch_type` is the content type of the request."""
        resource_type = self._served(resource_type)
        self._check_subresource(resource_type, subresource)
        check_write_options("PatchOptions", options)
        scope = namespace if resource_type.namespaced else ""
        return await self._patcher.patch(resource_type, name, scope, subresource, patch_type, body, options)

    async def delete(
        self,
        resource_type: ResourceType,
        name: str,
        *,
        namespace: str = "",
        options: DeleteOptions = _NO_DELETE_OPTIONS,
    ) -> Answer:
        """Answers the object while its deletion waits for something, a Status when it has gone."""
        check_delete_options(options)
        resource_type = self._served(resource_type)
        scope = namespace if resource_type.namespaced else ""
        return await self._deleter.delete(resource_type, name, scope, options)

    async def delete_collection(
        self,
        resource_type: ResourceType,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        options: DeleteOptions = _NO_DELETE_OPTIONS,
    ) -> Answer:
        resource_type = self._served(resource_type)
        selection: Selection = select(resource_type, namespace, label_selector, field_selector)
        return await self._deleter.delete_collection(resource_type, selection, options)

    async def run_garbage_collector(self) -> None:
        """Follow owner references for ever: dependents of the vanished go, foreground deletions end, orphans stay."""
        await self._garbage.run()

    async def run_namespace_controller(self) -> None:
        """Empty the namespaces that are being deleted, then let them go, for ever."""
        await self._namespaces.run()

    def spawn_controllers(self) -> None:
        """Start the two controllers beside the caller."""
        self.runtime.spawn(self.run_garbage_collector(), name="garbage-collector")
        self.runtime.spawn(self.run_namespace_controller(), name="namespace-controller")

    def compact(self, revision: int | None = None) -> None:
        """Forget the watch history up to `revision` (default: all of it)."""
        self.store.compact(revision)

    def disconnect_watches(self) -> None:
        """End every open watch, as a restart of the server would."""
        self.hub.close_all()

    async def _create_subresource(
        self,
        resource_type: ResourceType,
        body: JsonObject,
        namespace: str,
        name: str,
        subresource: str,
        options: WriteOptions,
    ) -> Answer:
        self._check_subresource(resource_type, subresource)
        if subresource == "binding":
            return await bind_pod(self._writer, resource_type, name, namespace, body, options)
        if subresource == "eviction":
            grace = (body.get("deleteOptions") or {}).get("gracePeriodSeconds")
            delete = DeleteOptions(grace_period_seconds=grace, dry_run=options.dry_run, user_agent=options.user_agent)
            await self._deleter.delete(resource_type, name, namespace, delete)
            return Answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
        raise method_not_supported(resource_type, "create")

    def _served(self, resource_type: ResourceType) -> ResourceType:
        """The kind as it is registered now: its definition may have changed, or gone, since the caller looked it up."""
        return self.registry.lookup(resource_type.group, resource_type.version, resource_type.plural)

    def _check_subresource(self, resource_type: ResourceType, subresource: str) -> None:
        if subresource and subresource not in resource_type.subresources:
            # The real server has no such path at all.
            self.registry.lookup(resource_type.group, resource_type.version, f"{resource_type.plural}/{subresource}")
