"""Keyed by node: the whole of LocalModelNode.spec in one write, and the node's labels."""

from __future__ import annotations

import re

import msgspec

from cachecore import names
from cachecore.controller.controller import Result
from cachecore.errors import AlreadyExists, Conflict, Invalid, NotFound
from cachecore.ports.cluster import ClusterClient, Patch, PatchType
from cachecore.resources.core import Node
from cachecore.resources.meta import ObjectMeta, owner_reference
from cachecore.resources.serving import CopyState, LocalModelNode, LocalModelNodeSpec
from cachemanager.chosen import Placements
from cachemanager.decisions import NodeSpecified, SpecDecisions, tell_spec
from cachemanager.fleet import Fleet, is_owned
from cachemanager.identity import cache_key, has_finalizer, uri_key
from cachemanager.node_spec import Assignment, desired_spec
from cachemanager.options import ManagerOptions
from cachemanager.service_index import ServiceIndex
from cachemanager.written import Written

_READY_LABEL = re.compile(rf"{re.escape(names.DOMAIN)}/([0-9a-f]{{16}})")
# How long a read that lags behind our own write is given to catch up.
_CATCH_UP_SECONDS = 1.0


class NodeReconciler:
    def __init__(
        self,
        client: ClusterClient,
        fleet: Fleet,
        placements: Placements,
        services: ServiceIndex,
        options: ManagerOptions,
    ) -> None:
        self._client = client
        self._fleet = fleet
        self._placements = placements
        self._services = services
        self._options = options
        self._decisions = SpecDecisions(fleet, placements, services, options)
        self._written_locals: Written[str, LocalModelNode] = Written()
        self._written_nodes: Written[str, Node] = Written()

    async def reconcile(self, request: str) -> Result:
        node, local = self._fleet.nodes.get(request), self._fleet.local_nodes.get(request)
        if node is None or (local is not None and not is_owned(local, node)):
            # The node is gone, or is another one under the same name: what was said of the old one is void.
            self._written_locals.forget(request)
            return await self._delete(local)
        if local is not None:
            local = self._written_locals.current(request, local)
            if local.being_deleted:
                return Result()
        spec = self._desired(request, local)
        # Put together at once: by the time of the write the fleet may be another.
        decision = self._decisions.made(node, local, spec)
        # Labels go before the copies do.
        await self._label(node, local, spec)
        return await self._write(node, local, spec, decision)

    async def _delete(self, local: LocalModelNode | None) -> Result:
        if local is None or local.being_deleted:
            return Result()
        try:
            await self._client.delete(LocalModelNode, local.name, uid=local.uid)
        except (NotFound, Conflict):
            return Result()
        return Result(requeue_after_seconds=_CATCH_UP_SECONDS)

    def _desired(self, name: str, local: LocalModelNode | None) -> LocalModelNodeSpec:
        groups = self._fleet.groups_of(name)
        spec = desired_spec(self._assignments(name), groups)
        if not groups and local is not None:
            # The node left its groups: its agent still needs the path to clear it.
            spec = msgspec.structs.replace(spec, storage=local.spec.storage)
        return spec

    def _assignments(self, name: str) -> list[Assignment]:
        found: list[Assignment] = []
        for identity in self._fleet.caches_of_node(name):
            cache = self._fleet.caches[identity]
            # Without our finalizer a cache could vanish and leave its copies behind.
            if cache.being_deleted or not has_finalizer(cache):
                continue
            group = self._placements.assigned_group(cache, name, identity)
            if group:
                demanded = self._fleet.demand.on_node(cache, cache_key(cache), name)
                referenced = demanded or self._services.used(identity)
                found.append(Assignment(cache=cache, group=group, referenced=referenced))
        return found

    async def _write(
        self, node: Node, local: LocalModelNode | None, spec: LocalModelNodeSpec, decision: NodeSpecified | None
    ) -> Result:
        if local is None:
            # A spec that names nothing tells the agent to clear its disk, which a node that has just come back still
            # holds from before: until it takes models (a new Node is NotReady at first), it is told nothing.
            told_nothing = self._fleet.refusal(node.name) and not spec.local_models
            if told_nothing or not self._fleet.groups_of(node.name):
                return Result()
            tell_spec(decision)
            metadata = ObjectMeta(name=node.name, owner_references=(owner_reference(node),))
            try:
                await self._client.create(LocalModelNode(metadata=metadata, spec=spec))
            except AlreadyExists:
                return Result(requeue_after_seconds=_CATCH_UP_SECONDS)
            return Result()
        if local.spec != spec:
            tell_spec(decision)
            written = await self._replace_spec(local, spec)
            self._written_locals.remember(node.name, local, written)
        return Result()

    async def _replace_spec(self, local: LocalModelNode, spec: LocalModelNodeSpec) -> LocalModelNode:
        """Write the spec over the one that was seen, and over no other.

        The generation counts the specs. A resourceVersion would also change with each word of the agent, and the write
        of a busy node would be refused again and again.
        """
        operations = [
            {"op": "test", "path": "/metadata/uid", "value": local.uid},
            {"op": "test", "path": "/metadata/generation", "value": local.metadata.generation},
            # By way of JSON: its lists are no tuples, which a server in memory would be given as they are.
            {"op": "add", "path": "/spec", "value": msgspec.json.decode(msgspec.json.encode(spec))},
        ]
        try:
            return await self._client.patch(LocalModelNode, local.name, Patch(type=PatchType.JSON, body=operations))
        except Invalid as error:
            # A failed test is answered like a spec that is not acceptable.
            present = await self._client.get(LocalModelNode, local.name)
            if (present.uid, present.metadata.generation) != (local.uid, local.metadata.generation):
                raise Conflict(f"the spec of LocalModelNode {local.name} is another one by now") from error
            raise

    async def _label(self, node: Node, local: LocalModelNode | None, spec: LocalModelNodeSpec) -> None:
        node = self._written_nodes.current(node.name, node)
        present = {
            match.group(1)
            for label, value in node.metadata.labels.items()
            if (match := _READY_LABEL.fullmatch(label)) and value == names.NODE_READY_VALUE
        }
        wanted = self._ready_keys(local, spec, present)
        changes: dict[str, str | None] = {names.node_ready_label(key): None for key in sorted(present - wanted)}
        changes |= {names.node_ready_label(key): names.NODE_READY_VALUE for key in sorted(wanted - present)}
        if not changes:
            return
        # The resourceVersion makes sure that it is this incarnation, as it was seen.
        body = {"metadata": {"resourceVersion": node.metadata.resource_version, "labels": changes}}
        try:
            written = await self._client.patch(Node, node.name, Patch(body=body))
        except NotFound:
            return
        self._written_nodes.remember(node.name, node, written)

    def _ready_keys(self, local: LocalModelNode | None, spec: LocalModelNodeSpec, present: set[str]) -> set[str]:
        if local is None:
            return set()
        listed: dict[str, bool] = {}
        for entry in spec.local_models:
            key = uri_key(entry.source_model_uri)
            listed[key] = listed.get(key, False) or entry.referenced
        return {
            report.key
            for report in local.status.models
            if report.state is CopyState.DOWNLOADED
            and report.key in listed
            and (listed[report.key] or report.key in present or self._few_hold(report.key))
        }

    def _few_hold(self, key: str) -> bool:
        # On a large fleet, a label on every node tells the scheduler nothing until something uses the model, and
        # costs a write for each node. What counts is how many shall hold it: the first of many are no few.
        count = max(self._fleet.reporting_count(key), self._fleet.wanted_count(key))
        return count <= self._options.label_unused_up_to_nodes
