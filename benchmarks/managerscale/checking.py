"""Whether anything that somebody wrote was overwritten by somebody else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeVar

from cachecore import names
from cachecore.ports import ClusterClient
from cachecore.resources.meta import Resource
from cachecore.resources.serving import CopyState, LocalModelCache, LocalModelNode, LocalModelNodeStatus

R = TypeVar("R", bound=Resource)

# A page of nodes with a hundred models each is a few megabytes.
_PAGE = 100


async def list_all(client: ClusterClient, kind: type[R]) -> list[R]:
    """All objects of a kind, as they are in etcd now."""
    found: list[R] = []
    token = ""
    while True:
        page = await client.list(kind, limit=_PAGE, continue_token=token)
        found += page.items
        token = page.continue_token
        if not token:
            return found


def lost_updates(
    nodes: Iterable[str],
    caches: Iterable[LocalModelCache],
    locals_: Iterable[LocalModelNode],
    said: Mapping[str, LocalModelNodeStatus],
) -> list[str]:
    """What is not as its writers left it, in words: specs, agents' statuses, and what the caches' statuses count."""
    caches = list(caches)
    wanted = {cache.name for cache in caches}
    by_name = {local.name: local for local in locals_}
    found = [f"{name} has no LocalModelNode" for name in nodes if name not in by_name]
    found += [f"{name} is no node any more" for name in by_name if name not in set(nodes)]
    holders: Counter[str] = Counter()
    for local in by_name.values():
        listed = [entry.model_name for entry in local.spec.local_models]
        if sorted(listed) != sorted(wanted):
            found.append(f"the spec of {local.name} lists {len(set(listed) & wanted)} of {len(wanted)} models")
        if local.status != said.get(local.name):
            found.append(f"the status of {local.name} is not what its agent wrote")
        holders.update(report.key for report in local.status.models if report.state is CopyState.DOWNLOADED)
    for cache in caches:
        counted = cache.status.copies.available if cache.status.copies is not None else 0
        held = holders[names.storage_key(cache.spec.source_model_uri)]
        if counted != held:
            found.append(f"the status of {cache.name} counts {counted} copies, {held} agents hold it")
    return found
