"""A small API server in memory: a `ClusterClient` with resourceVersions, conflicts, finalizers and watches.

It knows no schemas, admission or garbage collection. Objects are kept as the typed values of the port, so a field that
is not typed is lost.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from cachecore.errors import AlreadyExists, Conflict, Expired, Invalid, NotFound
from cachecore.ports.cluster import Patch, PatchType, ResourceList, Watch, WatchEventType
from cachecore.ports.runtime import Runtime
from cachecore.resources.meta import ObjectMeta, Resource, from_object, to_object
from cachecore.testing.fake_watch import Change, FakeWatch, Selection
from cachecore.testing.faults import FaultPlan
from cachecore.testing.patches import apply_json_patch, apply_merge_patch
from cachecore.timestamps import format_timestamp

R = TypeVar("R", bound=Resource)
_Key = tuple[str, str, str]


class FakeCluster:
    """Every verb takes `latency_seconds`, so that others run in between, as they do with a real server.

    Verbs for `faults` are the port's method names; the subject is `Kind/name` or `Kind/namespace/name` (for list and
    watch `Kind/*` or `Kind/namespace/*`).
    """

    def __init__(self, runtime: Runtime, *resources: Resource) -> None:
        self.runtime = runtime
        self.latency_seconds = 0.0
        self.faults = FaultPlan()
        self.changes: list[Change] = []
        self.compacted_version = 0
        self._version = 0
        self._uids = 0
        self._objects: dict[_Key, Resource] = {}
        self._watches: list[FakeWatch[Any]] = []
        for resource in resources:
            self.add(resource)

    # What a test arranges and sees.

    def add(self, resource: R) -> R:
        """Put an object as it is, status included; what the server sets is set where it is absent."""
        metadata = resource.metadata
        old = self._objects.get(_key(resource))
        created = msgspec.structs.replace(
            metadata,
            uid=metadata.uid or (old.uid if old is not None else self._new_uid()),
            generation=metadata.generation or 1,
            creation_timestamp=metadata.creation_timestamp
            or (old.metadata.creation_timestamp if old is not None else format_timestamp(self.runtime.now())),
        )
        return self._store(old, msgspec.structs.replace(resource, metadata=created))

    def remove(self, kind: type[R], name: str, namespace: str = "") -> None:
        """Take an object away at once, finalizers or not."""
        self._drop(self._find(kind, name, namespace))

    def peek(self, kind: type[R], name: str, namespace: str = "") -> R | None:
        """The object as it is now; no call is counted."""
        found = self._objects.get((kind.resource_type.kind, namespace, name))
        return found if isinstance(found, kind) else None

    def all(self, kind: type[R]) -> list[R]:
        """All objects of a kind, sorted by namespace and name; no call is counted."""
        return [self._objects[key] for key in sorted(self._objects) if isinstance(self._objects[key], kind)]  # type: ignore[misc]

    @property
    def writes(self) -> list[tuple[str, str]]:
        """The calls so far that change something: (verb, subject)."""
        reading = ("get", "list", "watch")
        return [call for call in self.faults.calls if call[0] not in reading]

    def compact(self) -> None:
        """Forget all history: a watch from an older version is `Expired`, the open ones are ended so."""
        self.compacted_version = self._version
        self.end_watches(Expired("too old resource version"))

    def end_watches(self, error: Exception | None = None) -> None:
        """End all open watches: in good order, or with an error."""
        for watch in self._watches:
            watch.end(error)
        self._watches.clear()

    def send_bookmarks(self) -> None:
        for watch in self._watches:
            watch.send_bookmark(str(self._version))

    # The port.

    async def get(self, kind: type[R], name: str, namespace: str = "") -> R:
        await self._begin("get", kind, namespace, name)
        return self._find(kind, name, namespace)

    async def list(
        self,
        kind: type[R],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
    ) -> ResourceList[R]:
        await self._begin("list", kind, namespace, "*")
        selection = Selection(kind.resource_type.kind, namespace, label_selector, field_selector)
        found = [resource for resource in self.all(kind) if selection.matches(resource)]
        start = int(continue_token or 0)
        end = start + limit if limit > 0 else len(found)
        return ResourceList(
            items=tuple(found[start:end]),
            resource_version=str(self._version),
            continue_token=str(end) if end < len(found) else "",
        )

    async def watch(
        self,
        kind: type[R],
        *,
        resource_version: str,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: float = 300.0,
    ) -> Watch[R]:
        await self._begin("watch", kind, namespace, "*")
        if int(resource_version or 0) < self.compacted_version:
            raise Expired(f"too old resource version: {resource_version}")
        selection = Selection(kind.resource_type.kind, namespace, label_selector, field_selector)
        watch = FakeWatch(self.runtime, kind, selection, timeout_seconds)
        for change in self.changes:
            if change.version > int(resource_version or 0):
                watch.offer(change)
        self._watches = [*(other for other in self._watches if not other.closed), watch]
        return watch

    async def create(self, resource: R) -> R:
        kind, metadata = type(resource), resource.metadata
        await self._begin("create", kind, metadata.namespace, metadata.name or metadata.generate_name)
        if not metadata.name and metadata.generate_name:
            metadata = msgspec.structs.replace(metadata, name=f"{metadata.generate_name}{self._uids:05x}")
        if not metadata.name:
            raise Invalid(f"a {kind.resource_type.kind} needs a name")
        if kind.resource_type.namespaced != bool(metadata.namespace):
            raise Invalid(f"{kind.resource_type.kind}: wrong namespace {metadata.namespace!r}")
        if self.peek(kind, metadata.name, metadata.namespace) is not None:
            raise AlreadyExists(f"{kind.resource_type.plural} {metadata.name!r} already exists")
        fresh = msgspec.structs.replace(
            metadata, uid="", generation=0, creation_timestamp=None, deletion_timestamp=None, resource_version=""
        )
        created = self.add(_with_status_of(msgspec.structs.replace(resource, metadata=fresh), kind()))
        self.faults.after("create", _subject(kind, metadata.namespace, metadata.name))
        return created

    async def update(self, resource: R) -> R:
        return await self._update("update", resource, status=False)

    async def update_status(self, resource: R) -> R:
        return await self._update("update_status", resource, status=True)

    async def _update(self, verb: str, resource: R, *, status: bool) -> R:
        kind, metadata = type(resource), resource.metadata
        await self._begin(verb, kind, metadata.namespace, metadata.name)
        old = self._find(kind, metadata.name, metadata.namespace)
        updated = self._replace(old, resource, status=status)
        self.faults.after(verb, _subject(kind, metadata.namespace, metadata.name))
        return updated

    async def patch(self, kind: type[R], name: str, patch: Patch, *, namespace: str = "", subresource: str = "") -> R:
        await self._begin("patch", kind, namespace, name)
        old = self.peek(kind, name, namespace)
        if old is None and patch.type is PatchType.APPLY:
            created = self.add(from_object(kind, patch.body))
            self.faults.after("patch", _subject(kind, namespace, name))
            return created
        if old is None:
            raise _not_found(kind, name)
        # Through bytes, so that tuples are lists, which a JSON patch may walk into.
        content = msgspec.json.decode(msgspec.json.encode(to_object(old)))
        # A patch is refused for its resourceVersion only when it names one.
        content["metadata"].pop("resourceVersion", None)
        apply = apply_json_patch if patch.type is PatchType.JSON else apply_merge_patch
        try:
            new = from_object(kind, apply(content, patch.body))
        except msgspec.ValidationError as error:
            raise Invalid(str(error)) from error
        patched = self._replace(old, new, status=subresource == "status")
        self.faults.after("patch", _subject(kind, namespace, name))
        return patched

    async def delete(
        self,
        kind: type[R],
        name: str,
        *,
        namespace: str = "",
        uid: str = "",
        resource_version: str = "",
        propagation: str = "Background",
        grace_period_seconds: int | None = None,
    ) -> None:
        await self._begin("delete", kind, namespace, name)
        old = self._find(kind, name, namespace)
        _check_preconditions(old.metadata, uid, resource_version)
        if not old.metadata.finalizers:
            self._drop(old)
        elif not old.being_deleted:
            when = format_timestamp(self.runtime.now())
            metadata = msgspec.structs.replace(old.metadata, deletion_timestamp=when)
            self._store(old, msgspec.structs.replace(old, metadata=metadata))
        self.faults.after("delete", _subject(kind, namespace, name))

    # Inside.

    async def _begin(self, verb: str, kind: type[Resource], namespace: str, name: str) -> None:
        await self.runtime.sleep(self.latency_seconds)
        self.faults.before(verb, _subject(kind, namespace, name))

    def _find(self, kind: type[R], name: str, namespace: str) -> R:
        found = self.peek(kind, name, namespace)
        if found is None:
            raise _not_found(kind, name)
        return found

    def _replace(self, old: R, new: R, *, status: bool) -> R:
        """What an update leaves: of a status update only the status, of any other all but the status."""
        _check_preconditions(old.metadata, new.metadata.uid, new.metadata.resource_version)
        if status:
            result = _with_status_of(old, new)
        else:
            metadata = msgspec.structs.replace(
                old.metadata,
                labels=new.metadata.labels,
                annotations=new.metadata.annotations,
                finalizers=new.metadata.finalizers,
                owner_references=new.metadata.owner_references,
            )
            result = _with_status_of(msgspec.structs.replace(new, metadata=metadata), old)
            if msgspec.structs.replace(result, metadata=old.metadata) != old:
                metadata = msgspec.structs.replace(metadata, generation=old.metadata.generation + 1)
                result = msgspec.structs.replace(result, metadata=metadata)
        if result == old:
            return old
        stored = self._store(old, result)
        if stored.being_deleted and not stored.metadata.finalizers:
            self._drop(stored)
        return stored

    def _store(self, old: Resource | None, new: R) -> R:
        self._version += 1
        metadata = msgspec.structs.replace(new.metadata, resource_version=str(self._version))
        stored = msgspec.structs.replace(new, metadata=metadata)
        self._objects[_key(stored)] = stored
        change_type = WatchEventType.ADDED if old is None else WatchEventType.MODIFIED
        self._announce(Change(self._version, change_type, old, stored))
        return stored

    def _drop(self, resource: Resource) -> None:
        self._version += 1
        del self._objects[_key(resource)]
        metadata = msgspec.structs.replace(resource.metadata, resource_version=str(self._version))
        last = msgspec.structs.replace(resource, metadata=metadata)
        self._announce(Change(self._version, WatchEventType.DELETED, resource, last))

    def _announce(self, change: Change) -> None:
        self.changes.append(change)
        for watch in self._watches:
            watch.offer(change)

    def _new_uid(self) -> str:
        self._uids += 1
        return f"00000000-0000-4000-8000-{self._uids:012d}"


def _key(resource: Resource) -> _Key:
    return (resource.resource_type.kind, resource.namespace, resource.name)


def _subject(kind: type[Resource], namespace: str, name: str) -> str:
    return "/".join(part for part in (kind.resource_type.kind, namespace, name) if part)


def _not_found(kind: type[Resource], name: str) -> NotFound:
    return NotFound(f"{kind.resource_type.plural} {name!r} not found")


def _check_preconditions(metadata: ObjectMeta, uid: str, resource_version: str) -> None:
    if uid and uid != metadata.uid:
        raise Conflict(f"{metadata.name!r} is another object now: its uid is {metadata.uid}")
    if resource_version and resource_version != metadata.resource_version:
        raise Conflict(f"{metadata.name!r} has been modified since version {resource_version}")


def _with_status_of(resource: R, other: R) -> R:
    if not hasattr(resource, "status"):
        return resource
    changed: R = msgspec.structs.replace(resource, status=other.status)  # type: ignore[attr-defined]
    return changed
