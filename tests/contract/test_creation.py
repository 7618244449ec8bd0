"""What a new object gets, and what a creation is refused for."""

from __future__ import annotations

from cachesim.apiserver.builtin import CONFIG_MAP, NAMESPACE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD, SECRET
from cachesim.apiserver.testing import ContractApi, causes, refused
from cachesim.apiserver.testing_kinds import WIDGET

POD_SPEC = {"containers": [{"name": "main", "image": "busybox:1"}]}


async def test_the_server_fills_in_identity_time_and_revision(api: ContractApi) -> None:
    metadata = (await api.create(CONFIG_MAP, {"metadata": {"name": "a"}}))["metadata"]
    assert metadata["uid"]
    assert metadata["creationTimestamp"].endswith("Z")
    assert int(metadata["resourceVersion"]) > 0
    assert metadata["namespace"] == api.namespace


async def test_a_clients_uid_is_not_taken(api: ContractApi) -> None:
    metadata = (await api.create(CONFIG_MAP, {"metadata": {"name": "a", "uid": "mine"}}))["metadata"]
    assert metadata["uid"] != "mine"


async def test_generate_name_adds_a_suffix(api: ContractApi) -> None:
    first = await api.create(CONFIG_MAP, {"metadata": {"generateName": "a-"}})
    second = await api.create(CONFIG_MAP, {"metadata": {"generateName": "a-"}})
    names = [first["metadata"]["name"], second["metadata"]["name"]]
    assert all(name.startswith("a-") and len(name) == 7 for name in names)
    assert names[0] != names[1]


async def test_a_name_is_taken_once(api: ContractApi) -> None:
    await api.create(WIDGET, {"metadata": {"name": "a"}, "spec": {"color": "red"}})
    with refused(409, "AlreadyExists") as errors:
        await api.create(WIDGET, {"metadata": {"name": "a"}, "spec": {"color": "red"}})
    assert errors[0].message == 'widgets.contract.localmodel.test "a" already exists'


async def test_a_name_is_a_subdomain(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await api.create(WIDGET, {"metadata": {"name": "A_b"}, "spec": {"color": "red"}})
    assert causes(errors[0]) == [("metadata.name", "FieldValueInvalid")]
    assert "a lowercase RFC 1123 subdomain must consist of" in errors[0].message


async def test_a_name_is_required(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await api.create(WIDGET, {"metadata": {}, "spec": {"color": "red"}})
    assert "metadata.name: Required value: name or generateName is required" in errors[0].message


async def test_label_values_are_checked(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await api.create(CONFIG_MAP, {"metadata": {"name": "a", "labels": {"app": "not good"}}})
    assert causes(errors[0]) == [("metadata.labels", "FieldValueInvalid")]


async def test_a_missing_namespace_is_not_found(api: ContractApi) -> None:
    with refused(404, "NotFound") as errors:
        await api.verbs.create(
            CONFIG_MAP,
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}},
            namespace=api.unique("nowhere"),
        )
    assert errors[0].message == f'namespaces "{api.unique("nowhere")}" not found'


async def test_the_bodys_namespace_must_be_the_requests(api: ContractApi) -> None:
    with refused(400, "BadRequest") as errors:
        await api.create(CONFIG_MAP, {"metadata": {"name": "a", "namespace": "default"}})
    assert "the namespace of the provided object does not match the namespace sent on the request" in errors[0].message


async def test_a_custom_resource_begins_at_generation_one_without_status(api: ContractApi) -> None:
    body = {"metadata": {"name": "a"}, "spec": {"color": "red"}, "status": {"phase": "Done"}}
    created = await api.create(WIDGET, body)
    assert created["metadata"]["generation"] == 1
    assert "status" not in created


async def test_a_resource_version_is_not_the_clients_to_set(api: ContractApi) -> None:
    with refused(500) as errors:
        await api.create(CONFIG_MAP, {"metadata": {"name": "a", "resourceVersion": "1"}})
    assert "resourceVersion should not be set on objects to be created" in errors[0].message


async def test_a_pod_is_pending(api: ContractApi) -> None:
    pod = await api.create(POD, {"metadata": {"name": "a"}, "spec": POD_SPEC})
    assert pod["status"]["phase"] == "Pending"
    assert pod["spec"]["restartPolicy"] == "Always"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 30


async def test_a_namespace_is_active_and_labelled(api: ContractApi) -> None:
    name = api.unique("extra")
    created = await api.create(NAMESPACE, {"metadata": {"name": name}})
    assert created["status"]["phase"] == "Active"
    assert created["metadata"]["labels"] == {"kubernetes.io/metadata.name": name}
    await api.delete(NAMESPACE, name)


async def test_plain_secret_strings_are_encoded(api: ContractApi) -> None:
    secret = await api.create(SECRET, {"metadata": {"name": "a"}, "stringData": {"key": "value"}})
    assert secret["data"] == {"key": "dmFsdWU="}
    assert secret["type"] == "Opaque"


async def test_claims_are_protected(api: ContractApi) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}
    claim = await api.create(PERSISTENT_VOLUME_CLAIM, {"metadata": {"name": "a"}, "spec": spec})
    assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert claim["status"]["phase"] == "Pending"


async def test_volumes_are_protected(api: ContractApi) -> None:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "hostPath": {"path": "/var/empty"},
    }
    name = api.unique("volume")
    volume = await api.create(PERSISTENT_VOLUME, {"metadata": {"name": name}, "spec": spec})
    assert volume["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"


async def test_a_dry_run_creates_nothing(api: ContractApi) -> None:
    created = await api.create(CONFIG_MAP, {"metadata": {"name": "a"}}, dry_run=True)
    assert created["metadata"]["uid"]
    assert not await api.exists(CONFIG_MAP, "a")
