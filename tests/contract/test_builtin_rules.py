"""What the built-in kinds must have, and what of them stays as it was."""

from __future__ import annotations

from typing import Any

import pytest

from cachesim.apiserver.builtin import CONFIG_MAP, EVENT, LEASE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD, SECRET
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import ContractApi, causes, refused

CONTAINER = {"name": "main", "image": "busybox:1"}
AFFINITY = {
    "required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}
}


async def pod(api: ContractApi, **spec: Any) -> JsonObject:
    body = {"schedulerName": "none", "containers": [CONTAINER], **spec}
    return await api.create(POD, {"metadata": {"name": "a"}, "spec": body})


async def volume(api: ContractApi, **spec: Any) -> JsonObject:
    body = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "local": {"path": "/models"},
        "nodeAffinity": AFFINITY,
        "storageClassName": "contract",
        **spec,
    }
    present = {key: value for key, value in body.items() if value is not None}
    return await api.create(PERSISTENT_VOLUME, {"metadata": {"name": api.unique("volume")}, "spec": present})


async def claim(api: ContractApi, **spec: Any) -> JsonObject:
    body = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "contract",
        **spec,
    }
    return await api.create(PERSISTENT_VOLUME_CLAIM, {"metadata": {"name": "a"}, "spec": body})


@pytest.mark.parametrize(
    "spec, field, reason",
    [
        ({"containers": []}, "spec.containers", "FieldValueRequired"),
        ({"containers": [{"image": "x"}]}, "spec.containers[0].name", "FieldValueRequired"),
        ({"containers": [{"name": "main"}]}, "spec.containers[0].image", "FieldValueRequired"),
        ({"containers": [CONTAINER, CONTAINER]}, "spec.containers[1].name", "FieldValueDuplicate"),
        ({"containers": [{**CONTAINER, "name": "Main"}]}, "spec.containers[0].name", "FieldValueInvalid"),
        (
            {"containers": [{**CONTAINER, "volumeMounts": [{"name": "none", "mountPath": "/x"}]}]},
            "spec.containers[0].volumeMounts[0].name",
            "FieldValueNotFound",
        ),
    ],
)
async def test_a_pod_that_could_not_run_is_refused(
    api: ContractApi, spec: dict[str, Any], field: str, reason: str
) -> None:
    with refused(422, "Invalid") as errors:
        await pod(api, **spec)
    assert (field, reason) in causes(errors[0])


async def test_a_pods_spec_stays_but_for_its_images(api: ContractApi) -> None:
    await pod(api)
    changed = await api.patch(
        POD,
        "a",
        "application/strategic-merge-patch+json",
        {"spec": {"containers": [{"name": "main", "image": "busybox:2"}]}},
    )
    assert changed["spec"]["containers"][0]["image"] == "busybox:2"
    with refused(422, "Invalid") as errors:
        await api.merge(POD, "a", {"spec": {"restartPolicy": "Never"}})
    assert "spec: Forbidden: pod updates may not change fields other than" in errors[0].message


async def test_a_bound_pod_is_not_bound_again(api: ContractApi) -> None:
    node = api.unique("node")
    await pod(api, nodeName=node)
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "a"},
        "target": {"kind": "Node", "name": "b"},
    }
    with refused(409, "Conflict") as errors:
        await api.verbs.create(POD, binding, namespace=api.namespace, name="a", subresource="binding")
    assert f'pod a is already assigned to node "{node}"' in errors[0].message


async def test_a_local_volume_says_where_it_is(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await volume(api, nodeAffinity=None)
    assert "spec.nodeAffinity: Required value: Local volume requires node affinity" in errors[0].message


async def test_a_volume_keeps_its_path(api: ContractApi) -> None:
    created = await volume(api)
    with refused(422, "Invalid") as errors:
        await api.merge(PERSISTENT_VOLUME, created["metadata"]["name"], {"spec": {"local": {"path": "/elsewhere"}}})
    assert "spec.persistentvolumesource is immutable after creation" in errors[0].message


async def test_a_volumes_claim_may_be_forgotten(api: ContractApi) -> None:
    reference = {"namespace": api.namespace, "name": "a"}
    created = await volume(api, claimRef=reference)
    freed = await api.merge(PERSISTENT_VOLUME, created["metadata"]["name"], {"spec": {"claimRef": None}})
    assert "claimRef" not in freed["spec"]


async def test_a_claim_asks_for_storage(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await claim(api, resources={})
    assert ("spec.resources[storage]", "FieldValueRequired") in causes(errors[0])


async def test_a_claim_keeps_its_volume(api: ContractApi) -> None:
    await claim(api, volumeName="one")
    with refused(422, "Invalid") as errors:
        await api.merge(PERSISTENT_VOLUME_CLAIM, "a", {"spec": {"volumeName": "two"}})
    assert "spec: Forbidden: spec is immutable after creation" in errors[0].message


async def test_a_secret_keeps_its_type(api: ContractApi) -> None:
    await api.create(SECRET, {"metadata": {"name": "a"}})
    with refused(422, "Invalid") as errors:
        await api.merge(SECRET, "a", {"type": "example.com/other"})
    assert causes(errors[0]) == [("type", "FieldValueInvalid")]


async def test_an_immutable_config_map_keeps_its_content(api: ContractApi) -> None:
    await api.create(CONFIG_MAP, {"metadata": {"name": "a"}, "data": {"key": "1"}, "immutable": True})
    with refused(422, "Invalid") as errors:
        await api.merge(CONFIG_MAP, "a", {"data": {"key": "2"}})
    assert causes(errors[0]) == [("data", "FieldValueForbidden")]


async def test_an_event_lives_with_its_object(api: ContractApi) -> None:
    involved = {"kind": "Node", "name": "n", "apiVersion": "v1"}
    body = {"metadata": {"name": "a"}, "involvedObject": involved, "reason": "Test", "message": "x", "type": "Normal"}
    with refused(422, "Invalid") as errors:
        await api.create(EVENT, body)
    assert "does not match event.namespace" in errors[0].message
    own = {**body, "involvedObject": {**involved, "kind": "Pod", "namespace": api.namespace}}
    assert (await api.create(EVENT, own))["reason"] == "Test"


async def test_a_lease_lasts(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await api.create(LEASE, {"metadata": {"name": "a"}, "spec": {"holderIdentity": "x", "leaseDurationSeconds": 0}})
    assert causes(errors[0]) == [("spec.leaseDurationSeconds", "FieldValueInvalid")]
