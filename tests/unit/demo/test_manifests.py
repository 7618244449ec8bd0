from __future__ import annotations

from cachesim.demo.manifests import inference_service, node_group, pod
from cachesim.demo.models import Model
from cachesim.demo.venue import Scene
from cachesim.kserve.predictor import KServeOptions

MODEL = Model(name="iris", directory="", files=(), bytes_total=1, digest="")
SCENE = Scene(
    namespace="somewhere",
    node_group="group",
    group_nodes=("node-b",),
    group_path="/models",
    storage_key="key",
    service_account="reader",
    images=KServeOptions(
        serving_image="registry/image", serving_command=("read",), storage_initializer_image="registry/image"
    ),
)


def test_pods_and_services_take_the_images_of_their_cluster() -> None:
    made = pod(SCENE, "name", MODEL, ())
    [server] = inference_service(SCENE, MODEL, 2)["spec"]["predictor"]["containers"]
    assert (server["image"], server["command"]) == ("registry/image", ["read"])
    assert {one.image for one in (*made.spec.containers, *made.spec.init_containers)} == {"registry/image"}


def test_a_group_is_of_the_nodes_that_the_story_is_told_on() -> None:
    volume = node_group(SCENE, 100)["spec"]["persistentVolumeSpec"]
    [term] = volume["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-b"]}]
