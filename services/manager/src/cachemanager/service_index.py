"""Which services use which cache: an index, kept up to date one change at a time.

A service uses the cache whose URI equals its model's or is a parent of it: one of its own namespace first, then the
closest parent, then the first by name that offers the node group which the service asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from cachecore import names
from cachecore.resources.meta import JsonObject
from cachecore.resources.serving import InferenceService, LLMInferenceService, NamespacedName
from cachemanager.identity import AnyCache, CacheId, cache_id

AnyService: TypeAlias = InferenceService | LLMInferenceService
_COMPONENTS = ("predictor", "transformer", "explainer")


class ServiceId(NamedTuple):
    """Identifies a service; sorts by kind, namespace and name."""

    kind: str
    namespace: str
    name: str


def service_id(service: AnyService) -> ServiceId:
    return ServiceId(service.resource_type.kind, service.namespace, service.name)


def model_uris(service: AnyService) -> tuple[str, ...]:
    """Every model URI that the service names, in the order of its spec."""
    found = _llm_uris(service.spec) if isinstance(service, LLMInferenceService) else _inference_uris(service.spec)
    return tuple(dict.fromkeys(uri for uri in found if isinstance(uri, str) and uri))


def _llm_uris(spec: JsonObject) -> Iterator[Any]:
    model = spec.get("model")
    if isinstance(model, dict):
        yield model.get("uri")


def _inference_uris(spec: JsonObject) -> Iterator[Any]:
    for name in _COMPONENTS:
        component = spec.get(name)
        if not isinstance(component, dict):
            continue
        # The model format's section has many names (model, sklearn, pytorch, ...): any that holds a URI counts.
        for section in component.values():
            if isinstance(section, dict):
                yield section.get("storageUri")
        for entry in component.get("storageUris") or ():
            if isinstance(entry, dict):
                yield entry.get("uri")


def _parents(uri: str) -> Iterator[str]:
    """The URI without its trailing slash, then each of its parents, down to the scheme."""
    current = uri.rstrip("/")
    while current and not current.endswith(":/"):
        yield current
        current, separator, _ = current.rpartition("/")
        if not separator:
            return


class ServiceIndex:
    """Both directions of "uses". Every change answers which caches it concerns."""

    def __init__(self) -> None:
        self._caches: dict[CacheId, AnyCache] = {}
        self._caches_by_uri: dict[str, dict[CacheId, None]] = {}
        self._services: dict[ServiceId, AnyService] = {}
        self._services_by_uri: dict[str, dict[ServiceId, None]] = {}
        self._used_by: dict[CacheId, dict[ServiceId, None]] = {}
        self._uses: dict[ServiceId, tuple[CacheId, ...]] = {}

    def services_of(self, cache: CacheId, kind: str) -> tuple[NamespacedName, ...]:
        """The services of that kind that use the cache, sorted."""
        users = sorted(user for user in self._used_by.get(cache, {}) if user.kind == kind)
        return tuple(NamespacedName(namespace=user.namespace, name=user.name) for user in users)

    def namespaces_of(self, cache: CacheId) -> tuple[str, ...]:
        """The namespaces with a service that uses the cache, sorted."""
        return tuple(sorted({user.namespace for user in self._used_by.get(cache, {})}))

    def used(self, cache: CacheId) -> bool:
        return bool(self._used_by.get(cache))

    def put_cache(self, cache: AnyCache) -> tuple[CacheId, ...]:
        """Learn of a cache, or of its change; answers the caches whose users changed."""
        identity = cache_id(cache)
        old = self._caches.get(identity)
        self._caches[identity] = cache
        uris = [cache.spec.source_model_uri]
        if old is not None and old.spec.source_model_uri != cache.spec.source_model_uri:
            self._forget_uri(identity, old.spec.source_model_uri)
            uris.append(old.spec.source_model_uri)
        self._caches_by_uri.setdefault(cache.spec.source_model_uri.rstrip("/"), {})[identity] = None
        return self._resolve_below(uris)

    def remove_cache(self, identity: CacheId) -> tuple[CacheId, ...]:
        old = self._caches.pop(identity, None)
        if old is None:
            return ()
        self._forget_uri(identity, old.spec.source_model_uri)
        return self._resolve_below([old.spec.source_model_uri])

    def put_service(self, service: AnyService) -> tuple[CacheId, ...]:
        """Learn of a service, or of its change; answers the caches whose users changed."""
        identity = service_id(service)
        self._forget_service_uris(identity)
        self._services[identity] = service
        for uri in model_uris(service):
            for parent in _parents(uri):
                self._services_by_uri.setdefault(parent, {})[identity] = None
        return self._resolve([identity])

    def remove_service(self, identity: ServiceId) -> tuple[CacheId, ...]:
        self._forget_service_uris(identity)
        self._services.pop(identity, None)
        return self._resolve([identity])

    def _forget_uri(self, identity: CacheId, uri: str) -> None:
        _discard(self._caches_by_uri, uri.rstrip("/"), identity)

    def _forget_service_uris(self, identity: ServiceId) -> None:
        old = self._services.get(identity)
        for uri in model_uris(old) if old is not None else ():
            for parent in _parents(uri):
                _discard(self._services_by_uri, parent, identity)

    def _resolve_below(self, uris: Iterable[str]) -> tuple[CacheId, ...]:
        services: dict[ServiceId, None] = {}
        for uri in uris:
            services.update(self._services_by_uri.get(uri.rstrip("/"), {}))
        return self._resolve(services)

    def _resolve(self, services: Iterable[ServiceId]) -> tuple[CacheId, ...]:
        changed: dict[CacheId, None] = {}
        for identity in services:
            service = self._services.get(identity)
            old = self._uses.get(identity, ())
            new = self._caches_for(service) if service is not None else ()
            for cache in old:
                if cache not in new:
                    _discard(self._used_by, cache, identity)
                    changed[cache] = None
            for cache in new:
                if cache not in old:
                    self._used_by.setdefault(cache, {})[identity] = None
                    changed[cache] = None
            if new:
                self._uses[identity] = new
            else:
                self._uses.pop(identity, None)
        return tuple(sorted(changed))

    def _caches_for(self, service: AnyService) -> tuple[CacheId, ...]:
        if names.DISABLE_LOCAL_MODEL_ANNOTATION in service.metadata.annotations:
            return ()
        uris = model_uris(service)
        found = [*(self._cache_for(service, uri) for uri in uris), self._labelled_cache(service, uris)]
        return tuple(dict.fromkeys(cache for cache in found if cache is not None))

    def _labelled_cache(self, service: AnyService, uris: Iterable[str]) -> CacheId | None:
        """The cache that KServe's own webhook chose: it mounts that one's claim, so the claim must be there."""
        labels = service.metadata.labels
        identity = CacheId(labels.get(names.LOCAL_MODEL_NAMESPACE_LABEL, ""), labels.get(names.LOCAL_MODEL_LABEL, ""))
        cache = self._caches.get(identity)
        if cache is None or cache.being_deleted or identity.namespace not in ("", service.namespace):
            return None
        matches = any(names.source_uri_matches(cache.spec.source_model_uri, uri) for uri in uris)
        return identity if matches else None

    def _cache_for(self, service: AnyService, uri: str) -> CacheId | None:
        group = service.metadata.annotations.get(names.NODE_GROUP_ANNOTATION, "")
        parents = tuple(_parents(uri))
        # A cache of the service's own namespace wins over any of the cluster.
        for namespace in (service.namespace, ""):
            for parent in parents:
                for identity in sorted(self._caches_by_uri.get(parent, ())):
                    cache = self._caches[identity]
                    offered = not group or group in cache.spec.node_groups
                    if identity.namespace == namespace and offered and not cache.being_deleted:
                        return identity
        return None


def _discard(index: dict[Any, dict[Any, None]], key: object, member: object) -> None:
    members = index.get(key)
    if members is None:
        return
    members.pop(member, None)
    if not members:
        del index[key]
