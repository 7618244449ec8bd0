"""What the manager calls a cache: both kinds, under one name."""

from __future__ import annotations

import functools
from typing import NamedTuple, TypeAlias

from cachecore import names
from cachecore.resources.serving import LocalModelCache, LocalModelNamespaceCache

AnyCache: TypeAlias = LocalModelCache | LocalModelNamespaceCache


class CacheId(NamedTuple):
    """Identifies a cache; `namespace` is "" for a LocalModelCache. Sorts as LocalModelNode.spec.localModels does."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def cache_id(cache: AnyCache) -> CacheId:
    return CacheId(cache.namespace, cache.name)


def parse_cache_id(text: str) -> CacheId:
    """The inverse of `str(cache_id)`."""
    namespace, _, name = text.rpartition("/")
    return CacheId(namespace, name)


def cache_key(cache: AnyCache) -> str:
    """The storage key of the cache's model: caches with one URI share it."""
    return uri_key(cache.spec.source_model_uri)


@functools.lru_cache(maxsize=16384)
def uri_key(source_model_uri: str) -> str:
    """`names.storage_key`, remembered: every look at a node asks for it once for each of its models."""
    return names.storage_key(source_model_uri)


def cache_finalizer(cache: AnyCache) -> str:
    """KServe's finalizer, which differs between the two kinds."""
    return names.NAMESPACE_CACHE_FINALIZER if isinstance(cache, LocalModelNamespaceCache) else names.CACHE_FINALIZER


def has_finalizer(cache: AnyCache) -> bool:
    return cache_finalizer(cache) in cache.metadata.finalizers
