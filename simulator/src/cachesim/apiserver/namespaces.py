"""What ends slowly: namespaces are emptied before they go, and so are the kinds of a deleted definition."""

from __future__ import annotations

import contextlib

from cachecore.errors import AlreadyExists, ApiError, Forbidden, NotFound
from cachecore.timestamps import format_timestamp
from cachesim.apiserver.builtin import CUSTOM_RESOURCE_DEFINITION, NAMESPACE, SERVICE_ACCOUNT
from cachesim.apiserver.context import Context
from cachesim.apiserver.crd import types_of
from cachesim.apiserver.deletion import INSTANCE_CLEANUP, Deleter
from cachesim.apiserver.kinds import prepare_new
from cachesim.apiserver.metadata import new_uid
from cachesim.apiserver.options import DeleteOptions, WriteOptions
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.selectors import Selection
from cachesim.apiserver.store import Change
from cachesim.apiserver.writes import Writer, gone_with_last_finalizer

_RETRY_SECONDS = 1.0
_DEFAULT_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_DELETE = DeleteOptions(user_agent="kube-controller-manager/namespace-controller")
_WRITE = WriteOptions(user_agent="kube-controller-manager/namespace-controller")


def add_default_namespaces(context: Context) -> None:
    """The namespaces that every cluster begins with."""
    for name in _DEFAULT_NAMESPACES:
        metadata = {
            "name": name,
            "uid": new_uid(context.runtime.random),
            "creationTimestamp": format_timestamp(context.runtime.now()),
        }
        item: JsonObject = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        context.store.commit(NAMESPACE, prepare_new(NAMESPACE, item))


class NamespaceController:
    """Deletes the contents of terminating namespaces and definitions, then lets them go."""

    def __init__(self, context: Context, deleter: Deleter, writer: Writer) -> None:
        self._context = context
        self._deleter = deleter
        self._writer = writer
        self._terminating: dict[str, None] = {}
        self._definitions: dict[str, None] = {}
        self._fresh: dict[str, None] = dict.fromkeys(_DEFAULT_NAMESPACES)
        self._signal = context.runtime.signal()
        self._signal.set()
        context.store.listen(self._observe)

    async def run(self) -> None:
        """For ever: settle, then wait for the next change that matters."""
        while True:
            await self._signal.wait()
            self._signal.clear()
            try:
                await self.settle()
            except ApiError:
                # A webhook refused a deletion: the next attempt may fare better.
                await self._context.runtime.sleep(_RETRY_SECONDS)
                self._signal.set()

    async def settle(self) -> None:
        """Take every new or terminating namespace, and every definition that goes, as far as it will go now."""
        while self._fresh:
            await self._add_service_account(self._fresh.popitem()[0])
        for name in list(self._definitions):
            await self._empty_definition(name)
        for name in list(self._terminating):
            await self._empty_namespace(name)

    def _observe(self, change: Change) -> None:
        metadata = change.item["metadata"]
        if change.resource_type is NAMESPACE:
            self._follow(self._terminating, change)
            if change.previous is None:
                self._fresh[metadata["name"]] = None
                self._signal.set()
        elif change.resource_type is CUSTOM_RESOURCE_DEFINITION:
            self._follow(self._definitions, change)
        elif change.type == "DELETED" and (self._definitions or metadata.get("namespace") in self._terminating):
            self._signal.set()

    def _follow(self, going: dict[str, None], change: Change) -> None:
        metadata = change.item["metadata"]
        if change.type == "DELETED":
            going.pop(metadata["name"], None)
        elif metadata.get("deletionTimestamp"):
            going[metadata["name"]] = None
            self._signal.set()

    async def _add_service_account(self, namespace: str) -> None:
        """Every namespace has the account that its pods run as when they name no other."""
        body: JsonObject = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        with contextlib.suppress(AlreadyExists, NotFound, Forbidden):
            await self._writer.create(SERVICE_ACCOUNT, body, namespace, _WRITE)

    async def _empty_namespace(self, name: str) -> None:
        selection = Selection(name, (), ())
        remaining = 0
        refused: ApiError | None = None
        for resource_type in self._context.registry.all():
            if resource_type.namespaced:
                try:
                    remaining += await self._empty(resource_type, selection)
                except ApiError as error:
                    # The rest goes all the same: it may be what keeps this one.
                    refused = error
        if refused is not None:
            raise refused
        current = self._context.store.get(NAMESPACE, "", name)
        if remaining or current is None:
            return
        emptied = {**current, "spec": {}}
        if gone_with_last_finalizer(emptied):
            self._context.store.remove(NAMESPACE, emptied)
        elif current["spec"]:
            self._context.store.commit(NAMESPACE, emptied)

    async def _empty_definition(self, name: str) -> None:
        current = self._context.store.get(CUSTOM_RESOURCE_DEFINITION, "", name)
        if current is None or INSTANCE_CLEANUP not in (current["metadata"].get("finalizers") or ()):
            return
        for resource_type in types_of(current)[:1]:
            if await self._empty(resource_type, Selection("", (), ())):
                return

        def released(definition: JsonObject) -> JsonObject:
            kept = [each for each in definition["metadata"].get("finalizers") or [] if each != INSTANCE_CLEANUP]
            return {**definition, "metadata": {**definition["metadata"], "finalizers": kept}}

        await self._writer.modify(CUSTOM_RESOURCE_DEFINITION, name, "", "", released, _WRITE)

    async def _empty(self, resource_type: ResourceType, selection: Selection) -> int:
        """Delete what is selected; answer how much of it stays, waiting for finalizers or grace."""
        table = self._context.store.table(resource_type)
        if any(not item["metadata"].get("deletionTimestamp") for item in table.select(selection)):
            await self._deleter.delete_collection(resource_type, selection, _DELETE)
        return sum(1 for _ in table.select(selection))
