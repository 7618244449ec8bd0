"""Which services use which cache."""

from __future__ import annotations

from typing import Any

import pytest

from cachecore import names
from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import (
    InferenceService,
    LLMInferenceService,
    LocalModelCache,
    LocalModelCacheSpec,
    LocalModelNamespaceCache,
)
from cachemanager.identity import AnyCache, CacheId
from cachemanager.service_index import ServiceIndex, model_uris, service_id

URI = "s3://models/iris"
CLUSTER = CacheId("", "iris")


def cache(name: str = "iris", uri: str = URI, namespace: str = "", groups: tuple[str, ...] = ("workers",)) -> AnyCache:
    kind = LocalModelNamespaceCache if namespace else LocalModelCache
    spec = LocalModelCacheSpec(source_model_uri=uri, model_size="1Gi", node_groups=groups)
    made: AnyCache = kind(metadata=ObjectMeta(name=name, namespace=namespace), spec=spec)
    return made


def service(uri: str = URI, namespace: str = "team-a", **metadata: Any) -> InferenceService:
    spec = {"predictor": {"model": {"storageUri": uri}}}
    return InferenceService(metadata=ObjectMeta(name="svc", namespace=namespace, **metadata), spec=spec)


def users(index: ServiceIndex, identity: CacheId = CLUSTER, kind: str = "InferenceService") -> list[str]:
    return [f"{one.namespace}/{one.name}" for one in index.services_of(identity, kind)]


def test_a_service_uses_the_cache_of_its_uri() -> None:
    index = ServiceIndex()
    index.put_cache(cache())
    assert index.put_service(service()) == (CLUSTER,)
    assert users(index) == ["team-a/svc"]


@pytest.mark.parametrize("uri", [URI, f"{URI}/", f"{URI}/sub", f"{URI}/sub/deeper/"])
def test_a_model_below_the_cached_one_counts(uri: str) -> None:
    index = ServiceIndex()
    index.put_service(service(uri))
    assert index.put_cache(cache()) == (CLUSTER,)


@pytest.mark.parametrize("uri", ["s3://models/iris-2", "s3://models", "s3://other/iris", "gs://models/iris"])
def test_another_model_does_not_count(uri: str) -> None:
    index = ServiceIndex()
    index.put_cache(cache())
    assert index.put_service(service(uri)) == ()


def test_a_namespace_cache_wins_over_a_cluster_one() -> None:
    index = ServiceIndex()
    index.put_cache(cache())
    index.put_service(service())
    own = cache("own", namespace="team-a")
    assert index.put_cache(own) == (CLUSTER, CacheId("team-a", "own"))
    assert users(index) == []
    assert index.remove_cache(CacheId("team-a", "own")) == (CLUSTER, CacheId("team-a", "own"))
    assert users(index) == ["team-a/svc"]


def test_a_namespace_cache_is_nobody_elses() -> None:
    index = ServiceIndex()
    index.put_cache(cache("own", namespace="team-b"))
    assert index.put_service(service()) == ()


def test_the_closest_parent_wins() -> None:
    index = ServiceIndex()
    index.put_cache(cache("all", uri="s3://models"))
    index.put_cache(cache())
    assert index.put_service(service(f"{URI}/sub")) == (CLUSTER,)


def test_a_service_that_opted_out_uses_none() -> None:
    index = ServiceIndex()
    index.put_cache(cache())
    assert index.put_service(service(annotations={names.DISABLE_LOCAL_MODEL_ANNOTATION: "true"})) == ()


def test_a_cache_must_offer_the_group_that_is_asked_for() -> None:
    index = ServiceIndex()
    index.put_cache(cache("a", groups=("cpus",)))
    index.put_cache(cache("b", groups=("gpus",)))
    assert index.put_service(service(annotations={names.NODE_GROUP_ANNOTATION: "gpus"})) == (CacheId("", "b"),)


def test_the_cache_of_kserves_label_gets_its_claims_too() -> None:
    index = ServiceIndex()
    index.put_cache(cache("a"))
    index.put_cache(cache("b"))
    index.put_service(service(labels={names.LOCAL_MODEL_LABEL: "b"}))
    assert [users(index, CacheId("", name)) for name in ("a", "b")] == [["team-a/svc"], ["team-a/svc"]]


def test_an_llm_service_counts_by_its_model() -> None:
    index = ServiceIndex()
    index.put_cache(cache())
    metadata = ObjectMeta(name="llm", namespace="team-a")
    index.put_service(LLMInferenceService(metadata=metadata, spec={"model": {"uri": URI}}))
    assert users(index, kind="LLMInferenceService") == ["team-a/llm"]
    assert users(index) == []


def test_every_uri_of_a_service_is_found() -> None:
    spec = {
        "predictor": {"sklearn": {"storageUri": "s3://a"}, "storageUris": [{"uri": "s3://b"}, {"uri": "s3://a"}]},
        "transformer": {"containers": [{"name": "main"}], "storageUris": [{"uri": "s3://c"}]},
    }
    assert model_uris(InferenceService(spec=spec)) == ("s3://a", "s3://b", "s3://c")


def test_a_service_that_changes_its_model_frees_the_old_cache() -> None:
    index = ServiceIndex()
    index.put_cache(cache())
    index.put_service(service())
    assert index.put_service(service("s3://models/rose")) == (CLUSTER,)
    assert not index.used(CLUSTER)


def test_a_deleted_service_frees_the_cache() -> None:
    index = ServiceIndex()
    index.put_cache(cache())
    index.put_service(service())
    assert index.remove_service(service_id(service())) == (CLUSTER,)
    assert index.namespaces_of(CLUSTER) == ()
