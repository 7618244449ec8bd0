"""What a campaign must have seen, each situation in words."""

from __future__ import annotations

from cachesim.sometimes.moments import MOMENTS
from cachesim.sometimes.strikes import STRIKES

_SEEN: dict[str, str] = {
    "leader-changed": "another manager took the lead",
    "two-leaders": "a manager took the lead while the former leader still ran",
    "eviction-aborted": "an eviction was called off: a pod had come",
    "evicted-model-returned": "a model was evicted from a node and came back to it",
    "download-resumed": "an agent found an unfinished download, and published it",
    "agent-found-trash": "an agent began with trash that another had left",
    "manifest-without-copy": "an agent began with a manifest of a model that is not there",
    "pod-before-its-model": "a pod was bound where its model was not yet",
    "pod-after-its-model": "a pod was bound where its model was",
    "pod-left-uncached": "a pod of a cached model was created without the cache",
    "node-returned-with-its-disk": "a node came back with its copies",
    "node-returned-empty": "a node came back with an empty disk",
    "node-returned-with-anothers-disk": "a node came back with the copies of another",
    "insufficient-storage": "a model was said never to fit",
    "download-error": "a download was said to have failed",
    "download-recovered": "a failed download ended well",
    "copy-discarded": "a damaged or outdated copy was thrown away",
    "cache-deleted-while-downloading": "a cache was deleted with its model on the way",
    "cache-deleted-while-mounted": "a cache was deleted with its model in use",
    "local-node-orphaned": "a LocalModelNode went with its Node",
    "retained-through-restart": "an agent began where models were already published",
}

SITUATIONS: dict[str, str] = {
    **{name: strike.words for name, strike in STRIKES.items()},
    **{name: moment.words for name, moment in MOMENTS.items()},
    **_SEEN,
}
