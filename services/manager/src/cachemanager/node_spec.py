"""The whole spec of one LocalModelNode. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from cachecore.resources.serving import (
    LocalModelInfo,
    LocalModelNodeGroup,
    LocalModelNodeSpec,
    NodeStoragePolicy,
)
from cachemanager.groups import group_path, limit_bytes
from cachemanager.identity import AnyCache


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """One cache that the node holds, the group it holds it for, and whether anything uses it."""

    cache: AnyCache
    group: str
    referenced: bool


def storage_policy(groups: Sequence[LocalModelNodeGroup]) -> NodeStoragePolicy | None:
    """The policy of a node: path and eviction of its first group by name, and the largest of their limits."""
    if not groups:
        return None
    ordered = sorted(groups, key=lambda group: group.name)
    first = ordered[0]
    largest = max(ordered, key=limit_bytes)
    return NodeStoragePolicy(
        limit=largest.spec.storage_limit,
        path=group_path(first),
        eviction=first.spec.eviction,
        max_concurrent_downloads=first.spec.max_concurrent_downloads,
        bandwidth_limit=first.spec.bandwidth_limit,
    )


def model_entry(assignment: Assignment) -> LocalModelInfo:
    """The entry of one cache in LocalModelNode.spec.localModels."""
    cache, spec = assignment.cache, assignment.cache.spec
    return LocalModelInfo(
        source_model_uri=spec.source_model_uri,
        model_name=cache.name,
        namespace=cache.namespace,
        node_group=assignment.group,
        service_account_name=spec.service_account_name,
        storage=spec.storage,
        size=spec.model_size,
        priority=spec.priority,
        pinned=spec.pinned,
        referenced=assignment.referenced,
        allow_patterns=spec.allow_patterns,
        ignore_patterns=spec.ignore_patterns,
        digest=spec.digest,
    )


def desired_spec(assignments: Iterable[Assignment], groups: Sequence[LocalModelNodeGroup]) -> LocalModelNodeSpec:
    """Everything the node shall hold, sorted by (namespace, name)."""
    entries = sorted((model_entry(one) for one in assignments), key=lambda entry: (entry.namespace, entry.model_name))
    return LocalModelNodeSpec(local_models=tuple(entries), storage=storage_policy(groups))
