"""What the manager has decided for a node, and all that it has decided it from, as one log line."""

from __future__ import annotations

import logging

import msgspec

from cachecore import names
from cachecore.decisions import SCHEMA, Decision, Seen, is_told, tell, without_credentials
from cachecore.resources.core import Node, NodeStatus
from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import (
    LocalModelCacheSpec,
    LocalModelNode,
    LocalModelNodeGroup,
    LocalModelNodeSpec,
)
from cachemanager.chosen import Placements
from cachemanager.fleet import Fleet
from cachemanager.identity import AnyCache, cache_id, cache_key, has_finalizer
from cachemanager.options import ManagerOptions
from cachemanager.service_index import ServiceIndex

logger = logging.getLogger(__name__)


class CacheSeen(Seen, frozen=True, kw_only=True):
    """A cache of the node's groups. `chosen_group` is where a cache with `copies` was placed, over the whole fleet."""

    namespace: str = ""
    name: str
    spec: LocalModelCacheSpec
    being_deleted: bool = False
    finalizer: bool = False
    demanded: bool = False
    used: bool = False
    chosen_group: str = ""


class FleetSeen(Seen, frozen=True, kw_only=True):
    """What one node's spec is made of; `spec` is the present one, None before the first."""

    node: Node
    groups: tuple[LocalModelNodeGroup, ...]
    caches: tuple[CacheSeen, ...] = ()
    spec: LocalModelNodeSpec | None = None
    tolerated_taint_keys: tuple[str, ...] = ()


class NodeSpecified(Decision, frozen=True, kw_only=True, tag_field="kind", tag="node-spec"):
    """A spec that is another one than the present."""

    seen: FleetSeen
    spec: LocalModelNodeSpec


class SpecDecisions:
    """Puts together what a spec was made of."""

    def __init__(self, fleet: Fleet, placements: Placements, services: ServiceIndex, options: ManagerOptions) -> None:
        self._fleet = fleet
        self._placements = placements
        self._services = services
        self._options = options

    def made(self, node: Node, local: LocalModelNode | None, spec: LocalModelNodeSpec) -> NodeSpecified | None:
        """The decision; None when the spec is the present one, or nobody listens."""
        if (local is not None and local.spec == spec) or not is_told(logger):
            return None
        seen = FleetSeen(
            node=_without_reports(node),
            groups=tuple(
                LocalModelNodeGroup(metadata=ObjectMeta(name=group.name), spec=group.spec)
                for group in self._fleet.groups_of(node.name)
            ),
            caches=tuple(
                self._cache_seen(self._fleet.caches[identity], node.name)
                for identity in self._fleet.caches_of_node(node.name)
            ),
            spec=None if local is None else _shown(local.spec),
            tolerated_taint_keys=self._options.tolerated_taint_keys,
        )
        return NodeSpecified(schema=SCHEMA, host=node.name, seen=seen, spec=_shown(spec))

    def _cache_seen(self, cache: AnyCache, node: str) -> CacheSeen:
        # Only what was asked for the spec is asked again: a question of its own could choose anew.
        was_chosen = cache.spec.copies is not None and has_finalizer(cache) and not cache.being_deleted
        return CacheSeen(
            namespace=cache.namespace,
            name=cache.name,
            spec=msgspec.structs.replace(cache.spec, service_account_name="", storage=None),
            being_deleted=cache.being_deleted,
            finalizer=has_finalizer(cache),
            demanded=self._fleet.demand.on_node(cache, cache_key(cache), node),
            used=self._services.used(cache_id(cache)),
            chosen_group=self._placements.assigned_group(cache, node) if was_chosen else "",
        )


def tell_spec(decision: NodeSpecified | None) -> None:
    if decision is not None:
        tell(logger, decision)


def _shown(spec: LocalModelNodeSpec) -> LocalModelNodeSpec:
    return msgspec.structs.replace(spec, local_models=tuple(map(without_credentials, spec.local_models)))


def _without_reports(node: Node) -> Node:
    """The node without what changes by the minute, and without our own labels, of which it may have hundreds."""
    labels = {name: value for name, value in node.metadata.labels.items() if not name.startswith(f"{names.DOMAIN}/")}
    ready = tuple(
        msgspec.structs.replace(condition, message="", last_heartbeat_time=None)
        for condition in node.status.conditions
        if condition.type == "Ready"
    )
    return msgspec.structs.replace(
        node,
        metadata=ObjectMeta(name=node.name, labels=labels),
        status=NodeStatus(conditions=ready),
    )
