"""Server-side apply of any object, kinds that were defined a moment ago included."""

from __future__ import annotations

import asyncio

from cachecore.errors import LocalModelError, NotFound
from cachesim.apiserver.builtin import CUSTOM_RESOURCE_DEFINITION, NAMESPACE, builtin_registry
from cachesim.apiserver.crd import types_of
from cachesim.apiserver.http.raw_client import HttpVerbs
from cachesim.apiserver.options import WriteOptions
from cachesim.apiserver.resources import JsonObject, ResourceType

_APPLY = "application/apply-patch+yaml"
_OPTIONS = WriteOptions(field_manager="localmodel", force=True)
_PATIENCE_SECONDS = 20.0
_LOOK_SECONDS = 0.02


class Applier:
    """Speaks to a server whose definitions take a moment to be served, as a real one's do."""

    def __init__(self, verbs: HttpVerbs) -> None:
        self._verbs = verbs
        self._registry = builtin_registry()

    async def apply(self, content: JsonObject) -> JsonObject:
        """Raises `NotFound` for a kind that nobody has applied a definition of."""
        resource_type = self._registry.find_api_version(content["apiVersion"], content["kind"])
        if resource_type is None:
            raise NotFound(f"there is no kind {content['kind']} in {content['apiVersion']}")
        metadata = content["metadata"]
        answer = await self._verbs.patch(
            resource_type,
            metadata["name"],
            _APPLY,
            content,
            namespace=metadata.get("namespace", ""),
            options=_OPTIONS,
        )
        if resource_type == CUSTOM_RESOURCE_DEFINITION:
            for defined in types_of(content):
                self._registry.register(defined)
                await self._until_served(defined)
        return answer.object

    async def wait_for_default_namespace(self) -> None:
        """The API server makes it a moment after it is ready; nothing can be put into it before."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        while True:
            try:
                await self._verbs.get(NAMESPACE, "default")
            except NotFound:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(_LOOK_SECONDS)
            else:
                return

    async def _until_served(self, resource_type: ResourceType) -> None:
        deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        while True:
            try:
                await self._verbs.list(resource_type, limit=1)
            except NotFound as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise LocalModelError(f"{resource_type.plural} is defined, but not served") from error
                await asyncio.sleep(_LOOK_SECONDS)
            else:
                return
