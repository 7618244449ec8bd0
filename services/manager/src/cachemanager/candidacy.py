"""Nodes as places for one cache. What all of them share is looked up once: a large fleet is looked at as a whole."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from cachecore.resources.serving import CopyState, LocalModelInfo, LocalModelNode, ModelCopyStatus
from cachemanager.demand import PodDemand
from cachemanager.identity import AnyCache
from cachemanager.placement import Candidate


class Candidacy:
    """Answers what a node is to the cache.

    - refusals: why each node takes no new copies
    - entries, reports: what the specs of the nodes list of the cache, and what their agents say of its model
    - believed: the nodes whose agents are believed
    - limits_bytes: what a node of each group may hold
    - entry_bytes: what the models that each node's spec lists take
    """

    __slots__ = (
        "_believed",
        "_cache",
        "_competes",
        "_demand",
        "_entries",
        "_entry_bytes",
        "_key",
        "_limits_bytes",
        "_locals",
        "_refusals",
        "_reports",
        "_uri",
    )

    def __init__(
        self,
        cache: AnyCache,
        key: str,
        *,
        refusals: Mapping[str, str],
        entries: Mapping[str, LocalModelInfo],
        reports: Mapping[str, ModelCopyStatus],
        believed: Mapping[str, LocalModelNode],
        local_nodes: Mapping[str, LocalModelNode],
        limits_bytes: Mapping[str, int],
        entry_bytes: Mapping[str, int],
        demand: PodDemand,
    ) -> None:
        self._cache = cache
        self._competes = cache.spec.copies is not None
        self._uri = cache.spec.source_model_uri
        self._key = key
        self._refusals = refusals
        self._entries = entries
        self._reports = reports
        self._believed = believed
        self._locals = local_nodes
        self._limits_bytes = limits_bytes
        self._entry_bytes = entry_bytes
        self._demand = demand

    def of(self, node: str, group: str) -> Candidate:
        """The node as a place for the cache, under this group."""
        refused = self._refusals.get(node, "")
        if not self._competes and not refused:
            # It belongs there whatever else is true of it: a fleet has many of these, and looks at all of them.
            return _willing(node, group)
        entry = self._entries.get(node)
        demanded = self._demand.on_node(self._cache, self._key, node)
        assigned = entry is not None and entry.source_model_uri == self._uri
        if not self._competes:
            return Candidate(node=node, group=group, demanded=demanded, assigned=assigned, refused=refused)
        # These count only where nodes compete.
        report = self._reports.get(node)
        holds = report is not None and report.state is CopyState.DOWNLOADED and node in self._believed
        return Candidate(
            node=node,
            group=group,
            demanded=demanded,
            assigned=assigned,
            holds=holds,
            refused=refused,
            free_bytes=self._limit_bytes(node, group) - self._entry_bytes.get(node, 0),
        )

    def _limit_bytes(self, node: str, group: str) -> int:
        limit = self._limits_bytes[group]
        local = self._locals.get(node)
        reported = local.status.storage.limit if local is not None and local.status.storage is not None else 0
        return min(limit, reported) if reported > 0 else limit


@functools.lru_cache(maxsize=16384)
def _willing(node: str, group: str) -> Candidate:
    return Candidate(node=node, group=group)
