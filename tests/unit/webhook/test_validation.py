"""What may be written and deleted, and the words of a refusal."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cachecore.names import DISABLE_LOCAL_MODEL_ANNOTATION
from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import (
    InferenceService,
    LLMInferenceService,
    LocalModelCacheStatus,
    LocalModelInfo,
    LocalModelNode,
    LocalModelNodeSpec,
    NamespacedName,
    Storage,
)
from cachewebhook.testing import IRIS, make_cache, make_group, make_namespace_cache
from cachewebhook.validation import Situation, Verdict, validate_delete, validate_write

SERVICES = ("InferenceService", "LLMInferenceService")
WORKERS = (make_group("workers"),)


def written(new: Any, old: Any = None, **situation: Any) -> Verdict:
    return validate_write(new, old, Situation(**{"groups": WORKERS, **situation}))


def changed(resource: Any, **spec: Any) -> Any:
    return msgspec.structs.replace(resource, spec=msgspec.structs.replace(resource.spec, **spec))


def service(name: str = "iris", namespace: str = "team-a", uri: str = IRIS, **metadata: Any) -> InferenceService:
    return InferenceService(
        metadata=ObjectMeta(name=name, namespace=namespace, **metadata),
        spec={"predictor": {"model": {"storageUri": uri}}},
    )


def test_a_sound_cache_is_taken() -> None:
    assert written(make_cache()) == Verdict()


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("bucket/model", "has no scheme"),
        ("ftp://host/model", "no driver for ftp://; use one of s3, gs"),
        ("oci://registry/model", "no driver for oci://"),
        ("pvc://claim/model", "is a claim, which pods mount without a cache"),
        ("s3://", "names no model"),
        ("s3:///model", "names no bucket: write it like s3://bucket/model"),
        ("http:///model.bin", "names no host: write it like http://host/model.bin"),
        ("hf://owner", "names no model: write it like hf://owner/model"),
    ],
)
def test_a_uri_that_nobody_can_fetch(uri: str, words: str) -> None:
    (problem,) = written(make_cache(uri=uri)).problems
    assert words in problem


def test_files_of_the_node_are_not_for_namespaces() -> None:
    assert written(make_cache(uri="file:///models/x")).allowed
    assert not written(make_namespace_cache(uri="file:///models/x")).allowed


def test_a_second_cache_of_one_uri() -> None:
    verdict = written(make_cache("second", uri=f"{IRIS}/"), caches=(make_cache(),))
    assert verdict.problems == (f"LocalModelCache iris caches {IRIS} already: use that one, or delete it first",)
    assert verdict.may_be_stale


def test_each_namespace_may_have_its_own_cache_of_a_uri() -> None:
    there = (make_namespace_cache("theirs", namespace="team-b"),)
    assert written(make_namespace_cache(), namespace_caches=there).allowed
    assert not written(make_namespace_cache("two"), namespace_caches=(make_namespace_cache(),)).allowed


def test_a_group_that_does_not_exist() -> None:
    verdict = written(make_cache(groups=("wokers",)))
    assert verdict.problems == (
        "spec.nodeGroups: there is no LocalModelNodeGroup wokers (there is workers): make it first",
    )
    assert verdict.may_be_stale


def test_a_group_that_goes() -> None:
    metadata = ObjectMeta(name="workers", deletion_timestamp="2026-01-01T00:00:00Z")
    going = msgspec.structs.replace(make_group(), metadata=metadata)
    assert "is being deleted" in written(make_cache(), groups=(going,)).problems[0]


def test_a_model_larger_than_the_limit() -> None:
    (problem,) = written(make_cache(model_size="200Gi")).problems
    assert problem == (
        "spec.modelSize 200Gi is more than the storageLimit 100Gi of LocalModelNodeGroup workers: "
        "raise the limit, or use another group"
    )


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "blake3:00", "blake3:" + "G" * 64])
def test_a_digest_of_another_form(digest: str) -> None:
    assert "write blake3: and 64 hex digits" in written(make_cache(digest=digest)).problems[0]


def test_the_uri_is_immutable() -> None:
    (problem,) = written(changed(make_cache(), source_model_uri="s3://b/new"), make_cache()).problems
    assert problem.startswith("spec.sourceModelUri is immutable (it is s3://bucket/iris)")


def test_an_unchanged_spec_is_not_judged_again() -> None:
    """Its group may have gone since, and labels must stay writable."""
    assert written(make_cache(), make_cache(), groups=()).allowed


def test_a_change_is_judged_only_for_what_changed() -> None:
    assert written(changed(make_cache(), priority=5), make_cache(), groups=()).allowed
    assert not written(changed(make_cache(), model_size="2Gi"), make_cache(), groups=()).allowed


def test_a_cache_that_goes_may_lose_its_finalizer() -> None:
    metadata = ObjectMeta(name="iris", deletion_timestamp="2026-01-01T00:00:00Z")
    going = msgspec.structs.replace(changed(make_cache(), priority=1), metadata=metadata)
    assert written(going, make_cache(), groups=()).allowed


def test_claims_of_two_caches_must_not_have_one_name() -> None:
    groups = (make_group("b-c"), make_group("c"))
    verdict = written(
        make_cache("a-b", uri="s3://b/2", groups=("c",)), caches=(make_cache("a", groups=("b-c",)),), groups=groups
    )
    assert "PersistentVolumeClaim a-b-c is that of LocalModelCache a too" in verdict.problems[0]


def test_a_namespace_cache_must_not_take_the_claim_of_a_cluster_cache() -> None:
    assert not written(make_namespace_cache(uri="s3://b/2"), caches=(make_cache(),)).allowed


def test_other_credentials_for_one_uri_are_warned_of() -> None:
    mine = make_namespace_cache("mine", storage=Storage(key="mine"))
    (warning,) = written(mine, caches=(make_cache(),)).warnings
    assert warning == (
        "LocalModelCache iris holds the same URI with other credentials: they share one copy, fetched with either"
    )


def test_a_warning_names_nothing_of_another_namespace() -> None:
    theirs = make_namespace_cache("secret", namespace="team-b", service_account_name="x")
    (warning,) = written(make_namespace_cache("mine"), namespace_caches=(theirs,)).warnings
    assert "secret" not in warning
    assert "team-b" not in warning


def test_overlapping_caches_are_warned_of() -> None:
    (warning,) = written(make_cache("part", uri=f"{IRIS}/v1"), caches=(make_cache(),)).warnings
    assert warning == f"LocalModelCache iris caches {IRIS}: what both contain is stored twice"


# Deletion.


def test_a_cache_that_nobody_uses_may_go() -> None:
    other = service(uri="s3://bucket/other")
    assert validate_delete(make_cache(), Situation(services=(other,), known_kinds=SERVICES)).allowed


@pytest.mark.parametrize(
    "user",
    [
        service(),
        service(uri=f"{IRIS}/v1"),
        service(uri="s3://else/where", labels={"internal.serving.kserve.io/localmodel": "iris"}),
        InferenceService(
            metadata=ObjectMeta(name="iris", namespace="team-a"),
            spec={"predictor": {"storageUris": [{"uri": IRIS, "mountPath": "/mnt/models"}]}},
        ),
        LLMInferenceService(
            metadata=ObjectMeta(name="iris", namespace="team-a"),
            spec={"model": {"uri": "hf://a/b", "lora": {"adapters": [{"uri": IRIS}]}}},
        ),
    ],
    ids=["its uri", "a folder of it", "kserve's label", "one of several", "an adapter"],
)
def test_a_cache_in_use_stays(user: Any) -> None:
    verdict = validate_delete(make_cache(), Situation(services=(user,), known_kinds=SERVICES))
    assert (verdict.allowed, verdict.in_use, verdict.may_be_stale) == (False, True, True)
    assert f"is in use by {user.resource_type.kind} team-a/iris" in verdict.problems[0]


@pytest.mark.parametrize(
    "user",
    [
        service(deletion_timestamp="2026-01-01T00:00:00Z"),
        service(annotations={DISABLE_LOCAL_MODEL_ANNOTATION: "true"}),
        service(labels={"internal.serving.kserve.io/localmodel": "other"}),
    ],
    ids=["goes", "opted out", "uses another"],
)
def test_a_service_that_does_not_use_the_cache(user: Any) -> None:
    assert validate_delete(make_cache(), Situation(services=(user,), known_kinds=SERVICES)).allowed


def test_a_status_is_not_believed_where_the_services_are_known() -> None:
    status = LocalModelCacheStatus(inference_services=(NamespacedName(namespace="team-a", name="gone"),))
    cache = msgspec.structs.replace(make_cache(), status=status)
    assert validate_delete(cache, Situation(known_kinds=SERVICES)).allowed
    assert not validate_delete(cache, Situation()).allowed


def test_a_cache_of_the_namespace_takes_the_users_of_the_cluster_cache() -> None:
    situation = Situation(services=(service(),), known_kinds=SERVICES, namespace_caches=(make_namespace_cache(),))
    assert validate_delete(make_cache(), situation).allowed
    assert not validate_delete(make_namespace_cache(), situation).allowed


def test_a_namespace_may_go_with_all_that_is_in_it() -> None:
    user = "system:serviceaccount:kube-system:namespace-controller"
    situation = Situation(services=(service(),), known_kinds=SERVICES)
    assert validate_delete(make_namespace_cache(), situation, user=user).allowed


def test_many_users_are_counted() -> None:
    services = tuple(service(f"s{number}") for number in range(5))
    (problem,) = validate_delete(make_cache(), Situation(services=services, known_kinds=SERVICES)).problems
    assert "team-a/s2 and 2 more" in problem


def test_a_group_in_use_stays() -> None:
    verdict = validate_delete(make_group(), Situation(caches=(make_cache(),)))
    (problem,) = verdict.problems
    assert problem.startswith("LocalModelNodeGroup workers is in use by LocalModelCache iris: delete that first")


def test_a_group_that_no_cache_names_may_go() -> None:
    assert validate_delete(make_group("gpus"), Situation(caches=(make_cache(),))).allowed


# Groups and nodes.


@pytest.mark.parametrize("volume", [{}, {"nfs": {"server": "x", "path": "/y"}}, {"local": {"path": ""}}], ids=str)
def test_a_group_needs_a_path(volume: dict[str, Any]) -> None:
    (problem,) = written(changed(make_group(), persistent_volume_spec=volume)).problems
    assert "needs a local.path (or hostPath.path)" in problem


@pytest.mark.parametrize("path", ["/", "models", "/a/../b"])
def test_a_path_must_be_absolute_and_below_the_root(path: str) -> None:
    assert "must be absolute" in written(make_group(path=path)).problems[0]


def test_a_limit_below_a_model_is_warned_of() -> None:
    (warning,) = written(make_group(limit="1Mi"), make_group(), caches=(make_cache(),)).warnings
    assert warning == "storageLimit 1Mi is less than the size of LocalModelCache iris"


def test_a_moved_group_is_warned_of() -> None:
    (warning,) = written(make_group(path="/new"), make_group()).warnings
    assert warning == "the models stay in /var/lib/localmodel and are downloaded again to /new"


def test_storage_classes_must_be_the_same_to_bind() -> None:
    group = changed(make_group(), persistent_volume_claim_spec={"storageClassName": "fast"})
    assert "claims stay unbound" in written(group).warnings[0]


def test_a_person_is_told_who_writes_a_node() -> None:
    node = LocalModelNode(
        metadata=ObjectMeta(name="node-a"),
        spec=LocalModelNodeSpec(local_models=(LocalModelInfo(source_model_uri=IRIS, model_name="iris"),)),
    )
    assert "will undo" in validate_write(node, None, Situation(), user="alice").warnings[0]
    manager = "system:serviceaccount:localmodel-system:localmodel-manager"
    assert validate_write(node, None, Situation(), user=manager) == Verdict()
    assert "makes LocalModelNode node-a again" in validate_delete(node, Situation(), user="alice").warnings[0]


def test_a_claim_that_no_volume_satisfies_is_warned_of() -> None:
    larger = {"resources": {"requests": {"storage": "200Gi"}}}
    (warning,) = written(changed(make_group(), persistent_volume_claim_spec=larger)).warnings
    assert warning == "persistentVolumeClaimSpec asks for more than persistentVolumeSpec has: claims stay unbound"
    spec = {**make_group().spec.persistent_volume_spec, "accessModes": ["ReadOnlyMany"]}
    writing = changed(
        make_group(), persistent_volume_spec=spec, persistent_volume_claim_spec={"accessModes": ["ReadWriteOnce"]}
    )
    assert written(writing).warnings == (warning,)


def test_a_limit_of_nothing_is_warned_of() -> None:
    (warning,) = written(changed(make_group(), storage_limit="0")).warnings
    assert warning == "storageLimit 0 leaves no room for any model"
