"""Creating and changing objects: one pipeline, whichever verb began it.

decode -> metadata rules -> mutating admission -> validation -> validating admission -> commit. Only admission awaits;
when another write came in between, the pipeline starts again from the object as it then is.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from cachecore.errors import Conflict
from cachecore.timestamps import format_timestamp
from cachesim.apiserver import kinds
from cachesim.apiserver.bodies import check_name, request_namespace, typed_body
from cachesim.apiserver.context import Attempt, Context
from cachesim.apiserver.errors import (
    FieldError,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    invalid_object,
    modified,
    not_found,
    quote,
    with_details,
)
from cachesim.apiserver.metadata import (
    carry_over,
    generated_name,
    metadata_errors,
    metadata_update_errors,
    new_uid,
    without_empty,
)
from cachesim.apiserver.options import Answer, WriteOptions
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.sharing import share

_ATTEMPTS = 5
_OUTSIDE_SPEC = frozenset({"metadata", "status", "apiVersion", "kind"})
_OUTSIDE_CONTENT = frozenset({"metadata", "apiVersion", "kind"})

Transform = Callable[[JsonObject], JsonObject]


class Writer:
    """The write verbs but deletion."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def create(
        self,
        resource_type: ResourceType,
        body: JsonObject,
        namespace: str,
        options: WriteOptions,
        *,
        tracked: bool = True,
    ) -> Answer:
        """`tracked` False: the body's managedFields are the writer's own, as apply made them."""
        new = self._new(resource_type, body, namespace, keeps_owners=not tracked)
        item, unknown = self._decode(resource_type, new, None)
        warnings = _unknown_field_warnings(unknown, options)
        metadata = item["metadata"]
        name, namespace = metadata.get("name", ""), metadata.get("namespace", "")
        self._check_namespace(resource_type, name, namespace)
        attempt = Attempt(
            operation="CREATE",
            resource_type=resource_type,
            namespace=namespace,
            name=name,
            subresource="",
            item=item,
            previous=None,
            options=options,
        )
        item, admitted = await self._mutate(attempt, item)
        warnings += admitted
        item = self._reset_new(resource_type, item)
        errors = _metadata_errors(resource_type, item)
        errors += self._schema_errors(resource_type, item, None)
        if errors:
            raise invalid_object(resource_type, name, errors)
        warnings += await self._validate(attempt, item)
        if self._context.store.get(resource_type, namespace, name) is not None:
            raise already_exists(resource_type, name)
        if tracked:
            item = self._track(attempt, item)
        return Answer(item if options.dry_run else self._context.store.commit(resource_type, item), warnings, True)

    async def modify(
        self,
        resource_type: ResourceType,
        name: str,
        namespace: str,
        subresource: str,
        transform: Transform,
        options: WriteOptions,
        *,
        tracked: bool = True,
        unconditional: bool = True,
    ) -> Answer:
        """Replace the object by `transform(object)`, under every rule of an update."""
        for _ in range(_ATTEMPTS):
            current = self._context.store.get(resource_type, namespace, name)
            if current is None:
                raise not_found(resource_type, name)
            candidate = typed_body(resource_type, transform(current))
            self._check_precondition(resource_type, name, candidate, current, unconditional)
            candidate, unknown = self._merged(resource_type, candidate, current, subresource, keeps_owners=not tracked)
            warnings = _unknown_field_warnings(unknown, options)
            attempt = Attempt(
                operation="UPDATE",
                resource_type=resource_type,
                namespace=namespace,
                name=name,
                subresource=subresource,
                item=candidate,
                previous=current,
                options=options,
            )
            mutated, admitted = await self._mutate(attempt, candidate)
            if mutated is not candidate:
                candidate, _ = self._merged(resource_type, mutated, current, subresource, keeps_owners=not tracked)
            warnings += admitted
            self._check_update(resource_type, name, candidate, current)
            warnings += await self._validate(attempt, candidate)
            if self._context.store.get(resource_type, namespace, name) is not current:
                continue
            if tracked and candidate is not current:
                candidate = self._track(attempt, candidate)
            return Answer(self._commit_update(resource_type, candidate, current, options), warnings)
        raise modified(resource_type, name)

    def _new(self, resource_type: ResourceType, body: JsonObject, namespace: str, *, keeps_owners: bool) -> JsonObject:
        """The object to be created with what the server alone decides: identity, time, generation."""
        body = typed_body(resource_type, body)
        metadata = dict(body.get("metadata") or {})
        if metadata.get("resourceVersion"):
            raise with_details(
                Conflict("resourceVersion should not be set on objects to be created", status_code=500, reason=""), {}
            )
        metadata["namespace"] = request_namespace(resource_type, metadata.get("namespace") or "", namespace)
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = generated_name(metadata["generateName"], self._chance)
        for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion", "generation"):
            metadata.pop(field, None)
        if not keeps_owners:
            metadata.pop("managedFields", None)
        metadata["uid"] = new_uid(self._chance)
        metadata["creationTimestamp"] = format_timestamp(self._context.runtime.now())
        return {**body, "metadata": without_empty(metadata)}

    @property
    def _chance(self) -> random.Random:
        return self._context.runtime.random

    def _reset_new(self, resource_type: ResourceType, item: JsonObject) -> JsonObject:
        """After mutation: status and generation are not the client's to set."""
        if not resource_type.custom:
            item = kinds.prepare_new(resource_type, item)
        elif resource_type.has_status and "status" in item:
            item = {key: value for key, value in item.items() if key != "status"}
        if resource_type.custom or resource_type.tracks_generation:
            item = {**item, "metadata": {**item["metadata"], "generation": 1}}
        return item

    def _decode(
        self, resource_type: ResourceType, item: JsonObject, previous: JsonObject | None
    ) -> tuple[JsonObject, list[str]]:
        if not resource_type.custom:
            item = kinds.default(resource_type, item)
        rules = self._context.rules.rules(resource_type)
        return (item, []) if rules is None else rules.decode(item, previous)

    def _schema_errors(
        self, resource_type: ResourceType, item: JsonObject, previous: JsonObject | None
    ) -> list[FieldError]:
        rules = self._context.rules.rules(resource_type)
        return [] if rules is None else rules.validate(item, previous)

    def _check_namespace(self, resource_type: ResourceType, name: str, namespace: str) -> None:
        """The NamespaceLifecycle admission: nothing is created in a namespace that is not there, or is going."""
        if not resource_type.namespaced:
            return
        namespaces = self._context.registry.lookup("", "v1", "namespaces")
        found = self._context.store.get(namespaces, "", namespace)
        if found is None:
            raise not_found(namespaces, namespace)
        if found["metadata"].get("deletionTimestamp"):
            error = forbidden(
                resource_type,
                name,
                f"unable to create new content in namespace {namespace} because it is being terminated",
            )
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
            raise with_details(error, {"name": name, "kind": resource_type.plural, "causes": [cause]})

    def _check_precondition(
        self,
        resource_type: ResourceType,
        name: str,
        candidate: JsonObject,
        current: JsonObject,
        unconditional: bool,
    ) -> None:
        metadata = candidate.get("metadata") or {}
        before = current["metadata"]
        check_name(candidate, name)
        uid, version = metadata.get("uid"), metadata.get("resourceVersion")
        if uid and uid != before["uid"]:
            cause = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {before['uid']}"
            raise conflict(resource_type, name, cause)
        if not version:
            if not unconditional:
                detail = "must be specified for an update"
                raise invalid_object(resource_type, name, [invalid("metadata.resourceVersion", 0, detail)])
        elif version != before["resourceVersion"]:
            raise modified(resource_type, name)

    def _merged(
        self,
        resource_type: ResourceType,
        candidate: JsonObject,
        current: JsonObject,
        subresource: str,
        *,
        keeps_owners: bool,
    ) -> tuple[JsonObject, list[str]]:
        """The candidate, decoded, with what this (sub)resource may not write taken from the stored object."""
        given = candidate.get("metadata") or {}
        metadata = carry_over(given, current["metadata"])
        if given.get("managedFields") == [{}]:
            # The one thing that a client may do to them: forget them all.
            metadata = {key: value for key, value in metadata.items() if key != "managedFields"}
        if keeps_owners and "managedFields" in given:
            metadata = {**metadata, "managedFields": given["managedFields"]}
        if subresource == "status":
            merged = {**current}
            if "status" in candidate:
                merged["status"] = candidate["status"]
            else:
                merged.pop("status", None)
            if not resource_type.custom:
                merged["metadata"] = metadata
            elif "managedFields" in metadata:
                merged["metadata"] = {**current["metadata"], "managedFields": metadata["managedFields"]}
        else:
            merged = {**candidate, "metadata": metadata}
            if resource_type.has_status:
                merged.pop("status", None)
                if "status" in current:
                    merged["status"] = current["status"]
        shared = share(merged, current)
        merged, unknown = self._decode(resource_type, shared, current)
        if merged is not shared:
            # A default that the candidate left out may have made it what is stored.
            merged = share(merged, current)
        if not subresource and merged is not current and _tracks_generation(resource_type):
            merged = _with_generation(resource_type, merged, current)
        return merged, unknown

    def _check_update(self, resource_type: ResourceType, name: str, candidate: JsonObject, current: JsonObject) -> None:
        if candidate is current:
            return
        errors: list[FieldError] = []
        if candidate["metadata"] is not current["metadata"]:
            errors += _metadata_errors(resource_type, candidate)
            errors += metadata_update_errors(candidate["metadata"], current["metadata"])
        errors += self._schema_errors(resource_type, candidate, current)
        if errors:
            raise invalid_object(resource_type, name, errors)

    def _commit_update(
        self, resource_type: ResourceType, candidate: JsonObject, current: JsonObject, options: WriteOptions
    ) -> JsonObject:
        if candidate is current or options.dry_run:
            return candidate
        if gone_with_last_finalizer(candidate):
            return self._context.store.remove(resource_type, candidate)
        return self._context.store.commit(resource_type, candidate)

    async def _mutate(self, attempt: Attempt, item: JsonObject) -> tuple[JsonObject, tuple[str, ...]]:
        admission = self._context.admission
        if admission is None or not admission.concerns(attempt.resource_type):
            return item, ()
        mutated, warnings = await admission.mutate(attempt)
        if mutated is item:
            return item, warnings
        if attempt.previous is not None:
            return mutated, warnings
        return self._decode(attempt.resource_type, mutated, None)[0], warnings

    async def _validate(self, attempt: Attempt, item: JsonObject) -> tuple[str, ...]:
        admission = self._context.admission
        if admission is None or not admission.concerns(attempt.resource_type):
            return ()
        return await admission.validate(
            Attempt(
                operation=attempt.operation,
                resource_type=attempt.resource_type,
                namespace=attempt.namespace,
                name=attempt.name,
                subresource=attempt.subresource,
                item=item,
                previous=attempt.previous,
                options=attempt.options,
            )
        )

    def _track(self, attempt: Attempt, item: JsonObject) -> JsonObject:
        tracker = self._context.tracker
        return item if tracker is None else tracker.track(attempt, item)


def _metadata_errors(resource_type: ResourceType, item: JsonObject) -> list[FieldError]:
    core = not resource_type.group
    labels = kinds.names_are_labels(resource_type)
    return metadata_errors(item["metadata"], names_are_labels=labels, standard_finalizers=core)


def gone_with_last_finalizer(item: JsonObject) -> bool:
    """An object whose deletion had only waited for its finalizers."""
    metadata = item["metadata"]
    return (
        bool(metadata.get("deletionTimestamp"))
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and not (item.get("kind") == "Namespace" and (item.get("spec") or {}).get("finalizers"))
    )


def _tracks_generation(resource_type: ResourceType) -> bool:
    return resource_type.custom or resource_type.tracks_generation


def _with_generation(resource_type: ResourceType, candidate: JsonObject, current: JsonObject) -> JsonObject:
    """One more when the desired state changed: everything but metadata, and status where that has its own writers."""
    outside = _OUTSIDE_SPEC if resource_type.has_status else _OUTSIDE_CONTENT
    fields = candidate.keys() | current.keys()
    if all(candidate.get(field) is current.get(field) for field in fields if field not in outside):
        return candidate
    generation = current["metadata"].get("generation", 0) + 1
    return {**candidate, "metadata": {**candidate["metadata"], "generation": generation}}


def _unknown_field_warnings(unknown: list[str], options: WriteOptions) -> tuple[str, ...]:
    """As fieldValidation asks: a refusal, a warning for each, or silence."""
    if not unknown or options.field_validation == "Ignore":
        return ()
    faults = [f"unknown field {quote(path)}" for path in unknown]
    if options.field_validation == "Strict":
        raise bad_request("strict decoding error: " + ", ".join(faults))
    return tuple(faults)
