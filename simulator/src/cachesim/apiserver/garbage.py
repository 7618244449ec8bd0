"""The garbage collector: owner references followed to the end, as kube-controller-manager does it."""

from __future__ import annotations

from cachecore.errors import ApiError, NotFound
from cachesim.apiserver.context import Context
from cachesim.apiserver.deletion import FOREGROUND, ORPHAN, Deleter
from cachesim.apiserver.options import DeleteOptions, WriteOptions
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.store import Change
from cachesim.apiserver.writes import Writer

_RETRY_SECONDS = 1.0
_OPTIONS = WriteOptions(user_agent="kube-controller-manager/generic-garbage-collector")


class Reference:
    """Where an object is: its kind, namespace and name. Equal by place, so that a queue of them has no doubles."""

    __slots__ = ("key", "name", "namespace", "resource_type")

    def __init__(self, resource_type: ResourceType, namespace: str, name: str) -> None:
        self.resource_type = resource_type
        self.namespace = namespace
        self.name = name
        self.key = (resource_type.group, resource_type.plural, namespace, name)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self.key == other.key


class GarbageCollector:
    """Deletes what has lost all its owners; ends foreground and orphaning deletions.

    The graph is kept up to date by the store itself; `run` (or `settle`) does the deleting.
    """

    def __init__(self, context: Context, deleter: Deleter, writer: Writer) -> None:
        self._context = context
        self._deleter = deleter
        self._writer = writer
        self._places: dict[str, Reference] = {}
        self._dependents: dict[str, dict[Reference, None]] = {}
        self._queue: dict[Reference, None] = {}
        self._signal = context.runtime.signal()
        context.store.listen(self._observe)

    async def run(self) -> None:
        """For ever: settle, then wait for the next change that matters."""
        while True:
            await self._signal.wait()
            self._signal.clear()
            if not await self.settle():
                await self._context.runtime.sleep(_RETRY_SECONDS)
                self._signal.set()

    async def settle(self) -> bool:
        """Work until nothing is left; False when something must be tried again later."""
        again: list[Reference] = []
        while self._queue:
            reference = next(iter(self._queue))
            del self._queue[reference]
            try:
                await self._examine(reference)
            except NotFound:
                continue
            except ApiError:
                again.append(reference)
        for reference in again:
            self._queue[reference] = None
        return not again

    def _observe(self, change: Change) -> None:
        item, previous = change.item, change.previous
        metadata = item["metadata"]
        references = metadata.get("ownerReferences") or ()
        before = (previous["metadata"].get("ownerReferences") or ()) if previous is not None else ()
        place = Reference(change.resource_type, metadata.get("namespace") or "", metadata["name"])
        if change.type == "DELETED":
            self._forget(place, metadata["uid"], before)
            return
        if previous is None:
            self._places[metadata["uid"]] = place
        if references is not before:
            for each in before:
                self._dependents.get(each["uid"], {}).pop(place, None)
            for each in references:
                self._dependents.setdefault(each["uid"], {})[place] = None
            if references:
                self._enqueue(place)
        if metadata.get("deletionTimestamp") and _policy_finalizer(item):
            self._enqueue(place)

    def _forget(self, place: Reference, uid: str, references: tuple[JsonObject, ...] | list[JsonObject]) -> None:
        if self._places.get(uid) == place:
            del self._places[uid]
        for each in references:
            self._dependents.get(each["uid"], {}).pop(place, None)
            owner = self._places.get(each["uid"])
            if owner is not None:
                self._enqueue_waiting(owner)
        for dependent in self._dependents.get(uid, {}):
            self._enqueue(dependent)

    def _enqueue_waiting(self, owner: Reference) -> None:
        item = self._context.store.get(owner.resource_type, owner.namespace, owner.name)
        if item is not None and item["metadata"].get("deletionTimestamp") and _policy_finalizer(item):
            self._enqueue(owner)

    def _enqueue(self, place: Reference) -> None:
        self._queue[place] = None
        self._signal.set()

    async def _examine(self, place: Reference) -> None:
        item = self._context.store.get(place.resource_type, place.namespace, place.name)
        if item is None:
            return
        if item["metadata"].get("deletionTimestamp"):
            finalizer = _policy_finalizer(item)
            if finalizer == ORPHAN:
                await self._orphan_dependents(place, item)
            elif finalizer == FOREGROUND:
                await self._delete_dependents(place, item)
            return
        await self._delete_when_abandoned(place, item)

    async def _delete_when_abandoned(self, place: Reference, item: JsonObject) -> None:
        references = item["metadata"].get("ownerReferences") or []
        if not references:
            return
        solid, waiting, dangling = self._classified(place, references)
        if solid:
            if waiting or dangling:
                await self._release(place, item, [each["uid"] for each in waiting + dangling])
            return
        uid = item["metadata"]["uid"]
        policy = "Foreground" if waiting and self._dependents.get(uid) else ""
        options = DeleteOptions(uid=uid, propagation_policy=policy, user_agent=_OPTIONS.user_agent)
        await self._deleter.delete(place.resource_type, place.name, place.namespace, options)

    def _classified(
        self, place: Reference, references: list[JsonObject]
    ) -> tuple[list[JsonObject], list[JsonObject], list[JsonObject]]:
        """References to owners that live, that wait for their dependents to go, and that are no more."""
        solid: list[JsonObject] = []
        waiting: list[JsonObject] = []
        dangling: list[JsonObject] = []
        for each in references:
            owner = self._owner(place, each)
            if owner is None:
                dangling.append(each)
            elif owner["metadata"].get("deletionTimestamp") and _policy_finalizer(owner) == FOREGROUND:
                waiting.append(each)
            else:
                solid.append(each)
        return solid, waiting, dangling

    def _owner(self, place: Reference, reference: JsonObject) -> JsonObject | None:
        """The owner, when one with that uid lives where a dependent may have its owner."""
        owner = self._places.get(reference["uid"])
        if owner is None or owner.name != reference["name"] or owner.resource_type.kind != reference["kind"]:
            return None
        if owner.namespace and owner.namespace != place.namespace:
            return None
        return self._context.store.get(owner.resource_type, owner.namespace, owner.name)

    async def _delete_dependents(self, place: Reference, item: JsonObject) -> None:
        uid = item["metadata"]["uid"]
        blocking = False
        for dependent in list(self._dependents.get(uid, {})):
            found = self._context.store.get(dependent.resource_type, dependent.namespace, dependent.name)
            if found is None:
                continue
            references = found["metadata"].get("ownerReferences") or []
            blocking = blocking or any(each["uid"] == uid and each.get("blockOwnerDeletion") for each in references)
            if not found["metadata"].get("deletionTimestamp"):
                self._enqueue(dependent)
        if not blocking:
            await self._remove_finalizer(place, FOREGROUND)

    async def _orphan_dependents(self, place: Reference, item: JsonObject) -> None:
        uid = item["metadata"]["uid"]
        for dependent in list(self._dependents.get(uid, {})):
            found = self._context.store.get(dependent.resource_type, dependent.namespace, dependent.name)
            if found is not None:
                await self._release(dependent, found, [uid])
        await self._remove_finalizer(place, ORPHAN)

    async def _release(self, place: Reference, item: JsonObject, uids: list[str]) -> None:
        """Take the references to those owners off the object."""

        def released(current: JsonObject) -> JsonObject:
            kept = [each for each in current["metadata"].get("ownerReferences") or [] if each["uid"] not in uids]
            return {**current, "metadata": {**current["metadata"], "ownerReferences": kept}}

        await self._writer.modify(place.resource_type, place.name, place.namespace, "", released, _OPTIONS)

    async def _remove_finalizer(self, place: Reference, finalizer: str) -> None:
        def removed(current: JsonObject) -> JsonObject:
            kept = [each for each in current["metadata"].get("finalizers") or [] if each != finalizer]
            return {**current, "metadata": {**current["metadata"], "finalizers": kept}}

        await self._writer.modify(place.resource_type, place.name, place.namespace, "", removed, _OPTIONS)


def _policy_finalizer(item: JsonObject) -> str:
    finalizers = item["metadata"].get("finalizers") or ()
    return next((each for each in (ORPHAN, FOREGROUND) if each in finalizers), "")
