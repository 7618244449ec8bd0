from __future__ import annotations

import base64
from typing import Any

from cachecore.names import STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION
from cachecore.ports import Patch
from cachecore.resources.core import EnvVar, Pod, Secret
from cachecore.resources.meta import from_object
from cachecore.resources.serving import InferenceService
from cachesim.apiserver import ResourceType
from cachesim.binder import VolumeBinder
from cachesim.kserve import KServeOptions, KServeStandIn, predictor_pod
from cachesim.kserve.credentials import secret_environment
from cachesim.node import Node as Kubelet
from cachesim.node import NodeLifecycle
from cachesim.scheduler import Scheduler

URI = "s3://models/iris"


def service(**predictor: Any) -> InferenceService:
    model = {"modelFormat": {"name": "sklearn"}, "storageUri": URI}
    content = {
        "metadata": {"name": "iris", "namespace": "default", "uid": "1", "labels": {"team": "a"}},
        "spec": {"predictor": {"model": model, **predictor}},
    }
    return from_object(InferenceService, content)


def start(cluster: Any) -> Any:
    """A cluster of one node, and KServe."""
    wanted = InferenceService.resource_type
    cluster.server.registry.register(
        ResourceType(
            group=wanted.group,
            version=wanted.version,
            kind=wanted.kind,
            plural=wanted.plural,
            namespaced=True,
            subresources=("status",),
        )
    )
    machine = cluster.machine()
    for controller in (
        Scheduler(cluster.runtime, cluster.client),
        NodeLifecycle(cluster.runtime, cluster.client),
        VolumeBinder(cluster.runtime, cluster.client),
        KServeStandIn(cluster.runtime, cluster.client),
        Kubelet(cluster.runtime, cluster.client, "node-1", machine),
    ):
        cluster.runtime.spawn(controller.run(), name=type(controller).__name__)
    cluster.server.spawn_controllers()
    machine.exit_codes = {"storage-initializer": [0] * 10}
    return machine


async def pods(cluster: Any, seconds: float = 10.0) -> list[Pod]:
    await cluster.runtime.sleep(seconds)
    listed = await cluster.client.list(
        Pod, namespace="default", label_selector="serving.kserve.io/inferenceservice=iris"
    )
    return list(listed.items)


def test_the_pod_has_the_shape_that_kserve_gives_it() -> None:
    pod = predictor_pod(service(serviceAccountName="reader"), (EnvVar(name="A", value="1"),), KServeOptions())
    (initializer,) = pod.spec.init_containers
    (server,) = pod.spec.containers
    assert (initializer.name, initializer.args) == ("storage-initializer", (URI, "/mnt/models"))
    assert initializer.env == (EnvVar(name="A", value="1"),)
    assert not initializer.volume_mounts[0].read_only
    assert (server.name, server.volume_mounts[0].mount_path) == ("kserve-container", "/mnt/models")
    assert server.volume_mounts[0].read_only
    assert pod.spec.volumes[0].name == "kserve-provision-location"
    assert pod.spec.volumes[0].empty_dir == {}
    assert pod.metadata.annotations[STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION] == URI
    assert pod.metadata.labels["serving.kserve.io/inferenceservice"] == "iris"
    assert pod.metadata.labels["team"] == "a"
    assert pod.spec.service_account_name == "reader"


def test_without_injection_only_the_annotation_asks_for_the_model() -> None:
    pod = predictor_pod(service(), (), KServeOptions(inject=False))
    assert pod.spec.init_containers == ()
    assert pod.metadata.annotations[STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION] == URI


def test_the_old_form_of_a_model_is_understood() -> None:
    old = from_object(
        InferenceService,
        {"metadata": {"name": "iris"}, "spec": {"predictor": {"sklearn": {"storageUri": URI}, "minReplicas": 2}}},
    )
    assert predictor_pod(old, (), KServeOptions()).spec.init_containers[0].args[0] == URI


def test_variables_of_a_secret_are_those_that_kserve_sets() -> None:
    secret = from_object(
        Secret,
        {
            "metadata": {"name": "s3", "annotations": {"serving.kserve.io/s3-endpoint": "minio:9000"}},
            "data": {
                "AWS_ACCESS_KEY_ID": "",
                "AWS_SECRET_ACCESS_KEY": "",
                "S3_USE_HTTPS": base64.b64encode(b"0").decode(),
            },
        },
    )
    variables = {variable.name: variable for variable in secret_environment(secret)}
    assert variables["AWS_ENDPOINT_URL"].value == "http://minio:9000"
    assert variables["S3_ENDPOINT"].value == "minio:9000"
    source = variables["AWS_SECRET_ACCESS_KEY"].value_from
    assert source is not None
    assert source.secret_key_ref is not None
    assert source.secret_key_ref.key == "AWS_SECRET_ACCESS_KEY"


def test_a_secret_without_storage_credentials_sets_nothing() -> None:
    assert secret_environment(from_object(Secret, {"metadata": {"name": "other"}, "data": {"password": ""}})) == ()


def test_a_service_becomes_ready_with_its_pods(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.client.create(service(minReplicas=2))
        assert len(await pods(cluster)) == 2
        found = await cluster.see(InferenceService, "iris")
        assert {one["type"]: one["status"] for one in found.status["conditions"]}["Ready"] == "True"
        assert found.status["url"] == "http://iris-default.example.com"

    cluster.run(scene())


def test_a_pod_that_is_gone_is_made_again(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.client.create(service())
        (first,) = await pods(cluster)
        await cluster.client.delete(Pod, first.name, namespace="default")
        (second,) = await pods(cluster)
        assert second.uid != first.uid
        assert second.ready

    cluster.run(scene())


def test_a_changed_service_gets_new_pods_before_it_loses_the_old(cluster: Any) -> None:
    async def scene() -> None:
        machine = start(cluster)
        await cluster.client.create(service())
        (first,) = await pods(cluster)
        body = {"spec": {"predictor": {"model": {"storageUri": f"{URI}/v2"}}}}
        machine.seconds = 5.0
        await cluster.client.patch(InferenceService, "iris", Patch(body=body), namespace="default")
        assert {pod.name for pod in await pods(cluster, seconds=2)} > {first.name}
        (last,) = await pods(cluster)
        assert last.metadata.annotations[STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION] == f"{URI}/v2"

    cluster.run(scene())


def test_fewer_replicas_take_pods_away(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.client.create(service(minReplicas=3))
        assert len(await pods(cluster)) == 3
        body = {"spec": {"predictor": {"minReplicas": 1}}}
        await cluster.client.patch(InferenceService, "iris", Patch(body=body), namespace="default")
        assert len(await pods(cluster)) == 1

    cluster.run(scene())


def test_pods_go_with_their_service(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.client.create(service())
        assert len(await pods(cluster)) == 1
        await cluster.client.delete(InferenceService, "iris", namespace="default")
        assert await pods(cluster) == []

    cluster.run(scene())
