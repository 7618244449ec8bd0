"""The nodes, groups, caches and reports as one indexed picture, kept up to date one change at a time.

A change costs as much as it touches, never nodes times models: this is what lets a reconcile of one node look only at
that node's models, and a reconcile of one cache only at that cache's nodes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from cachecore.resources.core import Node
from cachecore.resources.serving import LocalModelInfo, LocalModelNode, LocalModelNodeGroup, ModelCopyStatus
from cachecore.scheduling import group_selects
from cachemanager.candidacy import Candidacy
from cachemanager.demand import PodDemand, PodNeed
from cachemanager.groups import bytes_or_none, limit_bytes
from cachemanager.identity import AnyCache, CacheId, cache_id, cache_key
from cachemanager.placement import Candidate, refusal


class Touched(msgspec.Struct, kw_only=True):
    """What a change concerns: dictionaries for their order."""

    nodes: dict[str, None] = {}
    caches: dict[CacheId, None] = {}
    groups: dict[str, None] = {}


class Fleet:
    """See the module. Every `put` takes None for an object that is gone."""

    def __init__(self, tolerated_taint_keys: Collection[str] = ()) -> None:
        self.nodes: dict[str, Node] = {}
        self.groups: dict[str, LocalModelNodeGroup] = {}
        self.caches: dict[CacheId, AnyCache] = {}
        self.local_nodes: dict[str, LocalModelNode] = {}
        self.demand = PodDemand()
        self.deleting: dict[CacheId, None] = {}
        self._tolerated = tolerated_taint_keys
        self._refusals: dict[str, str] = {}
        # What every look at a cache asks of each of its nodes.
        self._ready: dict[str, bool] = {}
        self._believed: dict[str, LocalModelNode] = {}
        self._groups_of: dict[str, tuple[str, ...]] = {}
        self._members: dict[str, dict[str, None]] = {}
        self._caches_by_group: dict[str, dict[CacheId, None]] = {}
        self._caches_by_key: dict[str, dict[CacheId, None]] = {}
        self._reports: dict[str, dict[str, ModelCopyStatus]] = {}
        self._entries: dict[CacheId, dict[str, LocalModelInfo]] = {}
        self._entry_bytes: dict[str, int] = {}

    # Changes.

    def put_node(self, name: str, node: Node | None) -> Touched:
        old = self.nodes.get(name)
        old_groups, old_refusal = self._groups_of.get(name, ()), self._refusals.get(name)
        if node is None:
            self.nodes.pop(name, None)
            self._refusals.pop(name, None)
            self._ready.pop(name, None)
            self._set_groups(name, ())
        else:
            self.nodes[name] = node
            self._refusals[name] = refusal(node, self._tolerated)
            self._ready[name] = node.ready
            self._set_groups(name, tuple(one for one in sorted(self.groups) if group_selects(self.groups[one], node)))
        self._set_believed(name)
        groups = self._groups_of.get(name, ())
        touched = Touched()
        same_node = old is not None and node is not None and old.uid == node.uid
        if same_node and groups == old_groups and old_refusal == self._refusals.get(name):
            # A heartbeat, or one of our own labels: only that node's labels may have to be mended.
            if old is not None and node is not None and old.metadata.labels != node.metadata.labels:
                touched.nodes[name] = None
            return touched
        touched.nodes[name] = None
        for group in dict.fromkeys((*old_groups, *groups)):
            touched.groups[group] = None
            touched.caches.update(self._caches_by_group.get(group, {}))
        local = self.local_nodes.get(name)
        touched.caches.update(entry_ids(local))
        touched.caches.update(self.deleting)
        return touched

    def put_group(self, name: str, group: LocalModelNodeGroup | None) -> Touched:
        old = self.groups.get(name)
        touched = Touched(groups={name: None})
        if old is not None and group is not None and old.spec == group.spec:
            self.groups[name] = group
            return touched
        before = dict(self._members.get(name, {}))
        if group is None:
            self.groups.pop(name, None)
        else:
            self.groups[name] = group
        for node_name, node in self.nodes.items():
            inside = group is not None and group_selects(group, node)
            if inside != (node_name in before):
                others = [one for one in self._groups_of.get(node_name, ()) if one != name]
                self._set_groups(node_name, tuple(sorted([*others, name] if inside else others)))
        touched.nodes.update(before)
        touched.nodes.update(self._members.get(name, {}))
        touched.caches.update(self._caches_by_group.get(name, {}))
        return touched

    def put_cache(self, identity: CacheId, cache: AnyCache | None) -> Touched:
        old = self.caches.get(identity)
        if old is not None:
            self._index_cache(old, present=False)
        if cache is None:
            self.caches.pop(identity, None)
            self.deleting.pop(identity, None)
        else:
            self.caches[identity] = cache
            self._index_cache(cache, present=True)
            if cache.being_deleted:
                self.deleting[identity] = None
        touched = Touched()
        if old is not None and cache is not None and _same_wish(old, cache):
            return touched
        touched.caches[identity] = None
        for version in (old, cache):
            if version is not None:
                # Those that share the copy, or wait for the name.
                touched.caches.update(self._caches_by_key.get(cache_key(version), {}))
                for group in version.spec.node_groups:
                    touched.nodes.update(self._members.get(group, {}))
        touched.nodes.update(dict.fromkeys(self._entries.get(identity, ())))
        return touched

    def put_local_node(self, name: str, local: LocalModelNode | None) -> Touched:
        old = self.local_nodes.get(name)
        if local is None:
            self.local_nodes.pop(name, None)
        else:
            self.local_nodes[name] = local
        self._set_believed(name)
        touched = Touched()
        self._put_entries(name, old, local, touched)
        self._put_reports(name, old, local, touched)
        if (old is None) != (local is None) or (
            old is not None and local is not None and old.metadata.owner_references != local.metadata.owner_references
        ):
            touched.nodes[name] = None
            touched.caches.update(entry_ids(local) or entry_ids(old))
        if _storage(old) != _storage(local):
            touched.groups.update(dict.fromkeys(self._groups_of.get(name, ())))
        touched.caches.update(self.deleting)
        return touched

    def put_pod(self, namespace: str, name: str, need: PodNeed | None) -> Touched:
        touched = Touched()
        for changed in self.demand.put(namespace, name, need):
            if changed.node:
                touched.nodes[changed.node] = None
            for key in changed.keys:
                touched.caches.update(self._caches_by_key.get(key, {}))
        return touched

    # Questions.

    def groups_of(self, node: str) -> tuple[LocalModelNodeGroup, ...]:
        """The groups that the node is in, sorted by name."""
        return tuple(self.groups[name] for name in self._groups_of.get(node, ()))

    def members(self, group: str) -> list[str]:
        """The nodes of the group, sorted."""
        return sorted(self._members.get(group, {}))

    def caches_of_node(self, node: str) -> list[CacheId]:
        """The caches that could be on the node: those of its groups, sorted."""
        found: dict[CacheId, None] = {}
        for group in self._groups_of.get(node, ()):
            found.update(self._caches_by_group.get(group, {}))
        return sorted(found)

    def caches_with_key(self, key: str) -> list[CacheId]:
        return sorted(self._caches_by_key.get(key, {}))

    def believed(self, node: str) -> LocalModelNode | None:
        """The node's LocalModelNode, if it is of the node's present incarnation: only then is its status believed."""
        return self._believed.get(node)

    def ready(self, node: str) -> bool:
        """Whether the node is there, and ready."""
        return self._ready.get(node, False)

    def report(self, key: str, node: str) -> ModelCopyStatus | None:
        """What the agent says of its copy, if it is believed."""
        report = self._reports.get(key, {}).get(node)
        return report if report is not None and node in self._believed else None

    def reporting_nodes(self, key: str) -> list[str]:
        return sorted(self._reports.get(key, {}))

    def reporting_count(self, key: str) -> int:
        return len(self._reports.get(key, ()))

    def wanted_count(self, key: str) -> int:
        """On how many nodes the model shall be, at most, by the caches that have it."""
        return max((self._wanted_count(self.caches[one]) for one in self._caches_by_key.get(key, ())), default=0)

    def listing_nodes(self, identity: CacheId) -> list[str]:
        """The nodes whose spec lists the cache."""
        return sorted(self._entries.get(identity, {}))

    def listed(self, identity: CacheId, node: str) -> bool:
        return node in self._entries.get(identity, {})

    def refusal(self, node: str) -> str:
        return self._refusals.get(node, "gone")

    def candidates(self, cache: AnyCache) -> Iterator[Candidate]:
        """Every node of the cache's groups on which it fits, sorted."""
        groups = self._fitting_groups(cache)
        nodes: dict[str, str] = {}
        for group in reversed(groups):
            # Of several, the first of the cache's groups counts.
            nodes.update(dict.fromkeys(self._members.get(group, ()), group))
        candidacy = self._candidacy(cache)
        for node in sorted(nodes):
            yield candidacy.of(node, nodes[node])

    def never_fitting(self, cache: AnyCache) -> list[str]:
        """The nodes of the cache's groups on which it can never fit, sorted."""
        size = bytes_or_none(cache.spec.model_size)
        if size is None:
            return []
        nodes: dict[str, None] = {}
        for group in cache.spec.node_groups:
            if group in self.groups and limit_bytes(self.groups[group]) < size:
                nodes.update(self._members.get(group, {}))
        fitting = self._fitting_groups(cache)
        return sorted(node for node in nodes if not self._group_among(fitting, node))

    def candidate(self, cache: AnyCache, node: str) -> Candidate | None:
        """The node as a place for the cache; None when it is in none of its groups, or the cache can never fit."""
        group = self._group_among(self._fitting_groups(cache), node)
        return self._candidacy(cache).of(node, group) if group else None

    def _candidacy(self, cache: AnyCache) -> Candidacy:
        key = cache_key(cache)
        return Candidacy(
            cache,
            key,
            refusals=self._refusals,
            entries=self._entries.get(cache_id(cache), {}),
            reports=self._reports.get(key, {}),
            believed=self._believed,
            local_nodes=self.local_nodes,
            limits_bytes={one: limit_bytes(self.groups[one]) for one in cache.spec.node_groups if one in self.groups},
            entry_bytes=self._entry_bytes,
            demand=self.demand,
        )

    def _fitting_groups(self, cache: AnyCache) -> list[str]:
        size = bytes_or_none(cache.spec.model_size)
        present = (one for one in cache.spec.node_groups if one in self.groups)
        return [] if size is None else [one for one in present if size <= limit_bytes(self.groups[one])]

    def _group_among(self, groups: list[str], node: str) -> str:
        of_node = self._groups_of.get(node, ())
        return next((one for one in groups if one in of_node), "")

    def _wanted_count(self, cache: AnyCache) -> int:
        if cache.spec.copies is not None:
            return cache.spec.copies
        return sum(len(self._members.get(group, ())) for group in dict.fromkeys(cache.spec.node_groups))

    # Indexes.

    def _set_believed(self, name: str) -> None:
        local, node = self.local_nodes.get(name), self.nodes.get(name)
        if local is not None and node is not None and is_owned(local, node):
            self._believed[name] = local
        else:
            self._believed.pop(name, None)

    def _set_groups(self, node: str, groups: tuple[str, ...]) -> None:
        for group in self._groups_of.get(node, ()):
            _discard(self._members, group, node)
        for group in groups:
            self._members.setdefault(group, {})[node] = None
        if groups:
            self._groups_of[node] = groups
        else:
            self._groups_of.pop(node, None)

    def _index_cache(self, cache: AnyCache, *, present: bool) -> None:
        places = [(self._caches_by_key, cache_key(cache))]
        places += [(self._caches_by_group, group) for group in dict.fromkeys(cache.spec.node_groups)]
        for index, key in places:
            if present:
                index.setdefault(key, {})[cache_id(cache)] = None
            else:
                _discard(index, key, cache_id(cache))

    def _put_entries(self, name: str, old: LocalModelNode | None, new: LocalModelNode | None, touched: Touched) -> None:
        if old is not None and new is not None and old.spec is new.spec:
            return
        before = {_entry_id(entry): entry for entry in old.spec.local_models} if old is not None else {}
        after = {_entry_id(entry): entry for entry in new.spec.local_models} if new is not None else {}
        if before == after and (old is None) == (new is None):
            if old is not None and new is not None and old.spec != new.spec:
                touched.nodes[name] = None
            return
        touched.nodes[name] = None
        for identity in before:
            if identity not in after:
                _discard(self._entries, identity, name)
                touched.caches[identity] = None
        for identity, entry in after.items():
            self._entries.setdefault(identity, {})[name] = entry
            if before.get(identity) != entry:
                touched.caches[identity] = None
        self._entry_bytes[name] = sum(bytes_or_none(entry.size) or 0 for entry in after.values())

    def _put_reports(self, name: str, old: LocalModelNode | None, new: LocalModelNode | None, touched: Touched) -> None:
        before = {report.key: report for report in old.status.models} if old is not None else {}
        after = {report.key: report for report in new.status.models} if new is not None else {}
        for key in before:
            if key not in after:
                _discard(self._reports, key, name)
                self._touch_copy(key, name, touched)
        for key, report in after.items():
            previous = before.get(key)
            if previous == report:
                continue
            self._reports.setdefault(key, {})[name] = report
            touched.caches.update(self._caches_by_key.get(key, {}))
            if previous is None or previous.state is not report.state:
                touched.nodes[name] = None

    def _touch_copy(self, key: str, name: str, touched: Touched) -> None:
        touched.caches.update(self._caches_by_key.get(key, {}))
        touched.nodes[name] = None


def is_owned(local: LocalModelNode, node: Node) -> bool:
    """Whether the LocalModelNode is of this incarnation of the node."""
    return any(one.kind == "Node" and one.uid == node.uid for one in local.metadata.owner_references)


def _entry_id(entry: LocalModelInfo) -> CacheId:
    return CacheId(entry.namespace, entry.model_name)


def entry_ids(local: LocalModelNode | None) -> dict[CacheId, None]:
    return {_entry_id(entry): None for entry in local.spec.local_models} if local is not None else {}


def _storage(local: LocalModelNode | None) -> object:
    return local.status.storage if local is not None else None


def _same_wish(old: AnyCache, new: AnyCache) -> bool:
    """Whether nothing changed but the status, which is ours."""
    return (
        old.uid == new.uid
        and old.spec == new.spec
        and old.being_deleted == new.being_deleted
        and old.metadata.finalizers == new.metadata.finalizers
    )


def _discard(index: dict[Any, dict[Any, Any]], key: object, member: object) -> None:
    members = index.get(key)
    if members is not None:
        members.pop(member, None)
        if not members:
            del index[key]
