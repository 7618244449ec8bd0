"""Reviews, answered from what the informers know."""

from __future__ import annotations

import base64
from collections.abc import Coroutine
from typing import Any

import jsonpatch
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from cachecore.errors import NotFound
from cachecore.resources.meta import ObjectMeta, Resource, to_object
from cachecore.resources.serving import InferenceService, LocalModelCacheStatus, NamespacedName
from cachecore.testing import FakeCluster, VirtualRuntime
from cachewebhook.review import Answer, MalformedReview, read_review, write_answer
from cachewebhook.testing import IRIS, downloading_pod, make_cache, make_group, make_node
from cachewebhook.webhook import MUTATE_PATH, VALIDATE_PATH, Webhook, WebhookOptions


class Scene:
    """A webhook over a fake cluster."""

    def __init__(self, *resources: Resource) -> None:
        self.runtime = VirtualRuntime(seed=1)
        self.cluster = FakeCluster(self.runtime, *resources)
        self.registry = CollectorRegistry()
        self.webhook = Webhook(self.runtime, self.cluster, WebhookOptions(agent_image="agent:1"), self.registry)

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        async def whole() -> Any:
            self.runtime.spawn(self.webhook.run(), name="webhook")
            await self.webhook.wait_ready()
            await self.runtime.settle()
            return await main

        return self.runtime.run(whole())

    async def review(self, path: str, body: bytes) -> dict[str, Any]:
        answer: dict[str, Any] = msgspec.json.decode(self.webhook.review(path, body))["response"]
        return answer

    async def review_patiently(self, path: str, body: bytes) -> dict[str, Any]:
        answer: dict[str, Any] = msgspec.json.decode(await self.webhook.review_patiently(path, body))["response"]
        return answer


def review_of(
    resource: Any, operation: str = "CREATE", *, old: Any = None, kind: str = "", namespace: str = "team-a"
) -> bytes:
    new_object = to_object(resource) if isinstance(resource, Resource) else resource
    old_object = to_object(old) if isinstance(old, Resource) else old
    request = {
        "uid": "u-1",
        "kind": {"group": "", "version": "v1", "kind": kind or (new_object or old_object)["kind"]},
        "operation": operation,
        "namespace": namespace,
        "userInfo": {"username": "alice", "groups": ["dev"]},
        "object": new_object,
        "oldObject": old_object,
        "dryRun": False,
    }
    return msgspec.json.encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})


@pytest.fixture
def scene() -> Scene:
    return Scene(make_cache(), make_group(), make_node("node-a"))


def test_a_pod_is_patched(scene: Scene) -> None:
    pod = downloading_pod()
    response = scene.run(scene.review(MUTATE_PATH, review_of(pod)))
    assert (response["uid"], response["allowed"], response["patchType"]) == ("u-1", True, "JSONPatch")
    patched = jsonpatch.JsonPatch(msgspec.json.decode(base64.b64decode(response["patch"]))).apply(pod)
    assert patched["spec"]["initContainers"][0]["name"] == "localmodel-guard"
    assert response["auditAnnotations"] == {"reason": "Mounted", "message": "mounts iris-workers"}


def test_a_pod_that_is_left_alone_has_no_patch(scene: Scene) -> None:
    response = scene.run(scene.review(MUTATE_PATH, review_of(downloading_pod(("s3://b/x", "/mnt/models")))))
    assert response["allowed"] is True
    assert "patch" not in response


@pytest.mark.parametrize("operation", ["UPDATE", "DELETE", "CONNECT"])
def test_only_new_pods_are_changed(scene: Scene, operation: str) -> None:
    response = scene.run(scene.review(MUTATE_PATH, review_of(downloading_pod(), operation)))
    assert response == {"uid": "u-1", "allowed": True}


def test_a_refusal_says_why(scene: Scene) -> None:
    cache = make_cache("big", uri="s3://b/big", model_size="1Ti")
    response = scene.run(scene.review(VALIDATE_PATH, review_of(cache)))
    assert response["allowed"] is False
    assert (response["status"]["code"], response["status"]["reason"]) == (422, "Invalid")
    assert "more than the storageLimit 100Gi" in response["status"]["message"]


def test_a_deletion_is_judged_by_the_old_object(scene: Scene) -> None:
    response = scene.run(scene.review(VALIDATE_PATH, review_of(None, "DELETE", old=make_group())))
    assert (response["allowed"], response["status"]["code"]) == (False, 403)


def test_an_update_of_a_spec_that_may_change(scene: Scene) -> None:
    new = make_cache(priority=3)
    assert scene.run(scene.review(VALIDATE_PATH, review_of(new, "UPDATE", old=make_cache())))["allowed"]


def test_other_kinds_are_none_of_its_business(scene: Scene) -> None:
    assert scene.run(scene.review(VALIDATE_PATH, review_of({"kind": "Pod"})))["allowed"]


def test_news_is_seen_by_the_next_review(scene: Scene) -> None:
    async def main() -> list[str]:
        reasons = []
        for ready in (True, False):
            scene.cluster.add(make_node("node-a", ready=ready))
            await scene.runtime.settle()
            response = await scene.review(MUTATE_PATH, review_of(downloading_pod()))
            reasons.append(response["auditAnnotations"]["reason"])
        return reasons

    assert scene.run(main()) == ["Mounted", "NoUsableNode"]


def test_a_group_that_comes_a_moment_later_is_waited_for(scene: Scene) -> None:
    async def make_it() -> None:
        await scene.runtime.sleep(0.4)
        scene.cluster.add(make_group("late"))

    async def main() -> dict[str, Any]:
        scene.runtime.spawn(make_it(), name="someone")
        return await scene.review_patiently(VALIDATE_PATH, review_of(make_cache("x", uri="s3://b/x", groups=("late",))))

    assert scene.run(main())["allowed"] is True


def test_a_group_that_never_comes_is_refused_in_time(scene: Scene) -> None:
    async def main() -> tuple[bool, float]:
        start = scene.runtime.monotonic()
        body = review_of(make_cache("x", uri="s3://b/x", groups=("never",)))
        response = await scene.review_patiently(VALIDATE_PATH, body)
        return response["allowed"], scene.runtime.monotonic() - start

    allowed, seconds = scene.run(main())
    assert not allowed
    assert seconds == pytest.approx(1.5)


def test_what_is_wrong_in_itself_is_refused_at_once(scene: Scene) -> None:
    async def main() -> float:
        start = scene.runtime.monotonic()
        await scene.review_patiently(VALIDATE_PATH, review_of(make_cache("x", uri="ftp://b/x")))
        return scene.runtime.monotonic() - start

    assert scene.run(main()) == 0


REQUEST = {"uid": "u", "operation": "CREATE", "kind": {}}


def envelope(request: dict[str, Any], *, version: str = "v1", kind: str = "AdmissionReview") -> bytes:
    return msgspec.json.encode({"apiVersion": f"admission.k8s.io/{version}", "kind": kind, "request": request})


MALFORMED = {
    "empty": b"",
    "no JSON": b"{",
    "not UTF-8": b'{"request":{"uid":"\xff"}}',
    "a list": b"[]",
    "no request": b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}',
    "no uid": envelope({"operation": "CREATE", "kind": {}}),
    "another version": envelope(REQUEST, version="v1beta1"),
    "another kind": envelope(REQUEST, kind="Pod"),
    "deep": b"[" * 100_000,
    "a pod that is none": review_of([], kind="Pod"),
    "a pod of nothing": review_of(None, kind="Pod"),
    "odd metadata": review_of({"metadata": "x", "spec": {}}, kind="Pod"),
    "odd containers": review_of({"metadata": {}, "spec": {"initContainers": [1]}}, kind="Pod"),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_review_is_refused_in_one_line(scene: Scene, body: bytes) -> None:
    with pytest.raises(MalformedReview) as caught:
        scene.run(scene.review(MUTATE_PATH, body))
    assert "\n" not in str(caught.value)


def test_a_malformed_cache_is_refused(scene: Scene) -> None:
    with pytest.raises(MalformedReview, match="is no LocalModelCache"):
        scene.run(scene.review(VALIDATE_PATH, review_of({"kind": "LocalModelCache", "spec": {}})))


def test_an_unknown_path(scene: Scene) -> None:
    with pytest.raises(MalformedReview, match="nothing is served at /other"):
        scene.run(scene.review("/other", review_of(downloading_pod())))


def test_decisions_are_counted(scene: Scene) -> None:
    scene.run(scene.review(MUTATE_PATH, review_of(downloading_pod())))
    assert scene.registry.get_sample_value("localmodel_webhook_admissions_total", {"reason": "Mounted"}) == 1


def test_it_is_ready_without_kserve() -> None:
    """Services of KServe may not be installed."""
    scene = Scene(make_cache())
    scene.cluster.faults.fail("list", NotFound("no such kind"), "*InferenceService*", times=None)
    scene.run(scene.review(MUTATE_PATH, review_of(downloading_pod())))
    assert scene.webhook.ready


def test_without_kserve_no_service_uses_a_cache() -> None:
    """Whatever a status of former days says."""
    status = LocalModelCacheStatus(inference_services=(NamespacedName(namespace="team-a", name="iris"),))
    cache = msgspec.structs.replace(make_cache(), status=status)
    scene = Scene(cache)
    scene.cluster.faults.fail("list", NotFound("no such kind"), "*InferenceService*", times=None)
    assert scene.run(scene.review(VALIDATE_PATH, review_of(None, "DELETE", old=cache)))["allowed"]


def test_services_are_seen_once_kserve_is_installed() -> None:
    scene = Scene(make_cache())
    scene.cluster.faults.fail("list", NotFound("no such kind"), "*InferenceService*", times=2)
    user = InferenceService(
        metadata=ObjectMeta(name="iris", namespace="team-a"), spec={"predictor": {"model": {"storageUri": IRIS}}}
    )
    scene.cluster.add(user)

    async def main() -> dict[str, Any]:
        await scene.runtime.sleep(100)
        return await scene.review(VALIDATE_PATH, review_of(None, "DELETE", old=make_cache()))

    response = scene.run(main())
    assert "is in use by InferenceService team-a/iris" in response["status"]["message"]


def test_it_is_not_ready_before_it_knows_the_nodes() -> None:
    scene = Scene()
    assert not scene.webhook.ready


def test_a_long_warning_is_cut() -> None:
    request = read_review(review_of(downloading_pod()))
    answer = msgspec.json.decode(write_answer(request, Answer(warnings=("x" * 1000,))))
    assert len(answer["response"]["warnings"][0]) == 256
