"""When a cache may go: only when its data, or the node that has it, has gone."""

from __future__ import annotations

from collections.abc import Iterable

from cachecore.resources.serving import LocalModelNode, ModelCopyStatus
from cachemanager.fleet import Fleet, entry_ids, is_owned
from cachemanager.identity import AnyCache, CacheId, cache_id, cache_key


def deletion_blockers(fleet: Fleet, cache: AnyCache) -> list[str]:
    """What the deletion waits for on which node, in words; nothing when no live node may have the data any more."""
    identity, key = cache_id(cache), cache_key(cache)
    involved: dict[str, None] = dict.fromkeys((*fleet.listing_nodes(identity), *fleet.reporting_nodes(key)))
    for group in cache.spec.node_groups:
        involved.update(dict.fromkeys(fleet.members(group)))
    found = ((node, _blocker(fleet, identity, key, node)) for node in sorted(involved))
    return [f"{node}: {words}" for node, words in found if words]


def blockers_among(found: Iterable[LocalModelNode], fleet: Fleet, cache: AnyCache) -> list[str]:
    """The same, by LocalModelNodes that were read just now: what the watch has shown of them may be old."""
    identity, key = cache_id(cache), cache_key(cache)
    sharing = {other for other in fleet.caches_with_key(key) if other != identity}
    blockers: list[str] = []
    for local in found:
        node = fleet.nodes.get(local.name)
        if node is None or not is_owned(local, node):
            continue
        listed = entry_ids(local)
        report = next((one for one in local.status.models if one.key == key), None)
        words = _words(local, report, listed=identity in listed, shared=not sharing.isdisjoint(listed))
        if words:
            blockers.append(f"{local.name}: {words}")
    return blockers


def _blocker(fleet: Fleet, identity: CacheId, key: str, node: str) -> str:
    local = fleet.believed(node)
    if local is None:
        # The node, or the incarnation that had the copy, has gone.
        return ""
    shared = any(fleet.listed(other, node) for other in fleet.caches_with_key(key) if other != identity)
    return _words(local, fleet.report(key, node), listed=fleet.listed(identity, node), shared=shared)


def _words(local: LocalModelNode, report: ModelCopyStatus | None, *, listed: bool, shared: bool) -> str:
    if listed:
        return "the model is still on its list"
    if shared:
        # Another cache has the same model: the copy stays, for that one.
        return ""
    if report is not None:
        detail = report.message or report.reason
        return f"its copy is {report.state}{f' ({detail})' if detail else ''}"
    return "" if _has_caught_up(local) else "its agent has not yet acted on the change"


def _has_caught_up(local: LocalModelNode) -> bool:
    """Whether the agent has acted on the spec as it is. One that has never reported holds nothing."""
    observed = local.status.observed_generation
    return observed == 0 or observed >= local.metadata.generation
