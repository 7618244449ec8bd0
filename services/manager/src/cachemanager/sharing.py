"""Keeps the memory of a large fleet small: what is the same on every node is one object.

A thousand nodes with a hundred models each are a hundred thousand entries, and as many reports, of which a hundred
differ. The API server sends each of them in full.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

import msgspec

from cachecore.resources.serving import CopyState, LocalModelInfo, LocalModelNode, ModelCopyStatus

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# More models than that are not shared: whatever comes and goes, this stays small.
_MOST = 20_000


class Sharing:
    """An informer's `transform` for LocalModelNodes: what it answers says less, never anything else."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], LocalModelInfo] = {}
        self._reports: dict[str, ModelCopyStatus] = {}

    def __call__(self, local: LocalModelNode) -> LocalModelNode:
        entries = tuple(
            _shared(self._entries, (entry.namespace, entry.model_name), entry) for entry in local.spec.local_models
        )
        reports = tuple(self._report(report) for report in local.status.models)
        return msgspec.structs.replace(
            local,
            spec=msgspec.structs.replace(local.spec, local_models=entries),
            # The manager reads states, not the words that KServe has for them.
            status=msgspec.structs.replace(local.status, models=reports, model_status={}),
        )

    def _report(self, report: ModelCopyStatus) -> ModelCopyStatus:
        if report.last_used_time is not None:
            # Each node's own, and the agent's business.
            report = msgspec.structs.replace(report, last_used_time=None)
        # Any other state soon changes, and tells of one node.
        return _shared(self._reports, report.key, report) if report.state is CopyState.DOWNLOADED else report


def _shared(known: dict[K, V], key: K, value: V) -> V:
    """The object that is known under the key, when it is equal; otherwise this one, which is known from now on."""
    found = known.get(key)
    if found == value and found is not None:
        return found
    if len(known) >= _MOST:
        known.clear()
    known[key] = value
    return value
