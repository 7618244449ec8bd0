"""The patch verb: finds the kind of patch and sends its result through the update pipeline."""

from __future__ import annotations

from typing import Any

from cachecore.errors import NotFound
from cachesim.apiserver.apply import Applier
from cachesim.apiserver.context import Context
from cachesim.apiserver.errors import bad_request, forbidden_field, required, unsupported_media_type
from cachesim.apiserver.managed import ManagedFields
from cachesim.apiserver.option_rules import invalid_options
from cachesim.apiserver.options import Answer, WriteOptions
from cachesim.apiserver.patches import json_patch, merge_patch
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.strategic import strategic_merge
from cachesim.apiserver.writes import Writer

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class Patcher:
    """Every patch type."""

    def __init__(self, context: Context, writer: Writer, managed: ManagedFields) -> None:
        self._writer = writer
        self._applier = Applier(context, writer, managed)

    async def patch(
        self,
        resource_type: ResourceType,
        name: str,
        namespace: str,
        subresource: str,
        patch_type: str,
        body: Any,
        options: WriteOptions,
    ) -> Answer:
        if patch_type == APPLY_PATCH:
            return await self._apply(resource_type, name, namespace, subresource, body, options)
        if options.force:
            raise invalid_options(
                "PatchOptions", [forbidden_field("force", "may not be specified for non-apply patch")]
            )
        if patch_type == STRATEGIC_PATCH and resource_type.custom:
            raise unsupported_media_type(resource_type)
        if patch_type not in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH):
            raise unsupported_media_type(resource_type)
        if patch_type != JSON_PATCH and not isinstance(body, dict):
            raise bad_request("error decoding patch: the body is not a JSON object")

        def patched(current: JsonObject) -> JsonObject:
            if patch_type == JSON_PATCH:
                return json_patch(current, body)
            if patch_type == MERGE_PATCH:
                merged: JsonObject = merge_patch(current, body)
                return merged
            return strategic_merge(current, body)

        return await self._writer.modify(resource_type, name, namespace, subresource, patched, options)

    async def _apply(
        self,
        resource_type: ResourceType,
        name: str,
        namespace: str,
        subresource: str,
        body: Any,
        options: WriteOptions,
    ) -> Answer:
        if not isinstance(body, dict):
            raise bad_request("error decoding YAML: the body is not an object")
        version, kind = body.get("apiVersion", ""), body.get("kind", "")
        if not version or not kind:
            group, _, version = version.rpartition("/")
            raise bad_request(f"invalid object type: {group}/{version}, Kind={kind}")
        if not options.field_manager:
            raise invalid_options("PatchOptions", [required("fieldManager", "is required for apply patch")])
        if (body.get("metadata") or {}).get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        try:
            return await self._applier.modify(resource_type, name, namespace, subresource, body, options)
        except NotFound:
            if subresource:
                raise
        return await self._applier.create(resource_type, name, namespace, body, options)
