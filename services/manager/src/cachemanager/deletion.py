"""When a cache may go: only when its data, or the node that has it, has gone."""

from __future__ import annotations

from cachecore.resources.serving import LocalModelNode
from cachemanager.fleet import Fleet
from cachemanager.identity import AnyCache, CacheId, cache_id, cache_key


def deletion_blockers(fleet: Fleet, cache: AnyCache) -> list[str]:
    """What the deletion waits for on which node, in words; nothing when no live node may have the data any more."""
    identity, key = cache_id(cache), cache_key(cache)
    involved: dict[str, None] = dict.fromkeys((*fleet.listing_nodes(identity), *fleet.reporting_nodes(key)))
    for group in cache.spec.node_groups:
        involved.update(dict.fromkeys(fleet.members(group)))
    found = ((node, _blocker(fleet, identity, key, node)) for node in sorted(involved))
    return [f"{node}: {words}" for node, words in found if words]


def _blocker(fleet: Fleet, identity: CacheId, key: str, node: str) -> str:
    local = fleet.believed(node)
    if local is None:
        # The node, or the incarnation that had the copy, has gone.
        return ""
    if fleet.listed(identity, node):
        return "the model is still on its list"
    if any(fleet.listed(other, node) for other in fleet.caches_with_key(key) if other != identity):
        # Another cache has the same model: the copy stays, for that one.
        return ""
    report = fleet.report(key, node)
    if report is not None:
        detail = report.message or report.reason
        return f"its copy is {report.state}{f' ({detail})' if detail else ''}"
    return "" if _has_caught_up(local) else "its agent has not yet acted on the change"


def _has_caught_up(local: LocalModelNode) -> bool:
    """Whether the agent has acted on the spec as it is. One that has never reported holds nothing."""
    observed = local.status.observed_generation
    return observed == 0 or observed >= local.metadata.generation
