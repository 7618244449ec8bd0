"""Deleting: preconditions, grace, finalizers, and the policy for dependents."""

from __future__ import annotations

import msgspec

from cachecore.errors import NotFound
from cachecore.timestamps import format_timestamp, parse_timestamp
from cachesim.apiserver.context import Attempt, Context
from cachesim.apiserver.errors import conflict, not_found
from cachesim.apiserver.options import Answer, DeleteOptions, WriteOptions
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.selectors import Selection

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
INSTANCE_CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_DEFAULT_GRACE_SECONDS = 30
_RETURNS_OBJECT = frozenset({"Pod", "PersistentVolume", "PersistentVolumeClaim", "ServiceAccount", "Service"})


class Deleter:
    """The delete verbs."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def delete(self, resource_type: ResourceType, name: str, namespace: str, options: DeleteOptions) -> Answer:
        current = self._context.store.get(resource_type, namespace, name)
        if current is None:
            raise not_found(resource_type, name)
        check_preconditions(resource_type, current, options)
        warnings = await self._admit(resource_type, current, options)
        current = self._context.store.get(resource_type, namespace, name)
        if current is None:
            raise not_found(resource_type, name)
        check_preconditions(resource_type, current, options)
        return Answer(self._delete(resource_type, current, options), warnings)

    async def delete_collection(
        self, resource_type: ResourceType, selection: Selection, options: DeleteOptions
    ) -> Answer:
        """Delete what is selected now, in order; an object that has gone meanwhile is no error."""
        items = list(self._context.store.table(resource_type).select(selection))
        for item in items:
            metadata = item["metadata"]
            try:
                await self.delete(resource_type, metadata["name"], metadata.get("namespace", ""), options)
            except NotFound:
                continue
        return Answer(
            {
                "kind": resource_type.list_kind,
                "apiVersion": resource_type.api_version,
                "metadata": {"resourceVersion": str(self._context.store.revision)},
                "items": items,
            }
        )

    def _delete(self, resource_type: ResourceType, current: JsonObject, options: DeleteOptions) -> JsonObject:
        item = self._with_propagation(resource_type, current, options)
        grace = _grace_seconds(resource_type, current, options)
        waits = grace > 0 or bool(item["metadata"].get("finalizers")) or _waits_for_contents(resource_type, item)
        marked = self._marked(resource_type, item, grace)
        store = self._context.store
        if waits:
            if marked is current:
                return current
            return marked if options.dry_run else store.commit(resource_type, marked)
        removed = marked if options.dry_run else store.remove(resource_type, marked)
        return removed if resource_type.kind in _RETURNS_OBJECT else _success(resource_type, current)

    def _marked(self, resource_type: ResourceType, item: JsonObject, grace: int) -> JsonObject:
        """With the deletion's time and grace, unless it is being deleted already at least as soon."""
        metadata = item["metadata"]
        before = metadata.get("deletionTimestamp")
        if before is None:
            when = self._context.runtime.now() + grace
            changed = {"deletionTimestamp": format_timestamp(when), "deletionGracePeriodSeconds": grace}
            if metadata.get("generation"):
                changed["generation"] = metadata["generation"] + 1
            marked = {**item, "metadata": {**metadata, **changed}}
            return _terminating(resource_type, marked)
        remaining = metadata.get("deletionGracePeriodSeconds") or 0
        if grace >= remaining:
            return item
        sooner = parse_timestamp(before) - remaining + grace
        changed = {"deletionTimestamp": format_timestamp(sooner), "deletionGracePeriodSeconds": grace}
        return {**item, "metadata": {**metadata, **changed}}

    def _with_propagation(self, resource_type: ResourceType, item: JsonObject, options: DeleteOptions) -> JsonObject:
        """The finalizers by which the garbage collector is asked to orphan, or to delete dependents first."""
        present = item["metadata"].get("finalizers") or []
        policy = options.propagation_policy
        wanted = [each for each in present if not policy or each not in (ORPHAN, FOREGROUND)]
        starts = not item["metadata"].get("deletionTimestamp")
        if starts and resource_type.kind == "CustomResourceDefinition" and INSTANCE_CLEANUP not in wanted:
            wanted.append(INSTANCE_CLEANUP)
        if policy == "Orphan":
            wanted.append(ORPHAN)
        elif policy == "Foreground":
            wanted.append(FOREGROUND)
        if wanted == present:
            return item
        metadata = {**item["metadata"], "finalizers": wanted}
        if not wanted:
            del metadata["finalizers"]
        return {**item, "metadata": metadata}

    async def _admit(self, resource_type: ResourceType, current: JsonObject, options: DeleteOptions) -> tuple[str, ...]:
        admission = self._context.admission
        if admission is None or not admission.concerns(resource_type):
            return ()
        metadata = current["metadata"]
        attempt = Attempt(
            operation="DELETE",
            resource_type=resource_type,
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
            subresource="",
            item=None,
            previous=current,
            options=WriteOptions(dry_run=options.dry_run, user=options.user, user_agent=options.user_agent),
        )
        _, warnings = await admission.mutate(attempt)
        return warnings + await admission.validate(attempt)


def check_preconditions(resource_type: ResourceType, current: JsonObject, options: DeleteOptions) -> None:
    """Raises Conflict, as the real server words it."""
    metadata = current["metadata"]
    uid, version = metadata["uid"], metadata["resourceVersion"]
    cause = ""
    if options.uid and options.uid != uid:
        cause = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid}). "
            "The object might have been deleted and then recreated"
        )
    elif options.resource_version and options.resource_version != version:
        cause = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the "
            f"ResourceVersion in record ({version}). The object might have been modified"
        )
    if cause:
        # Here, and nowhere else, the real server names the kind where the resource is meant.
        raise conflict(msgspec.structs.replace(resource_type, plural=resource_type.kind), metadata["name"], cause)


def _grace_seconds(resource_type: ResourceType, item: JsonObject, options: DeleteOptions) -> int:
    """Only pods are deleted gracefully, and only those that a kubelet may be running."""
    if resource_type.group or resource_type.kind != "Pod":
        return 0
    spec = item.get("spec") or {}
    if not spec.get("nodeName") or (item.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    if options.grace_period_seconds is not None:
        return max(0, options.grace_period_seconds)
    if item["metadata"].get("deletionTimestamp"):
        return int(item["metadata"].get("deletionGracePeriodSeconds") or 0)
    period = spec.get("terminationGracePeriodSeconds")
    return _DEFAULT_GRACE_SECONDS if period is None else int(period)


def _waits_for_contents(resource_type: ResourceType, item: JsonObject) -> bool:
    """A namespace stays until its contents have gone, and its own kind of finalizer with them."""
    is_namespace = not resource_type.group and resource_type.kind == "Namespace"
    return is_namespace and bool((item.get("spec") or {}).get("finalizers"))


def _terminating(resource_type: ResourceType, item: JsonObject) -> JsonObject:
    if resource_type.group or resource_type.kind != "Namespace":
        return item
    return {**item, "status": {**(item.get("status") or {}), "phase": "Terminating"}}


def _success(resource_type: ResourceType, item: JsonObject) -> JsonObject:
    metadata = item["metadata"]
    details = {
        "name": metadata["name"],
        "group": resource_type.group,
        "kind": resource_type.plural,
        "uid": metadata["uid"],
    }
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }
