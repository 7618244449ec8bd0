"""Where credentials come from, and that they stay there."""

from __future__ import annotations

import base64
import logging
from typing import Any

import msgspec
import pytest

from cacheagent.credentials import find_credentials
from cacheagent.testing import NodeRig
from cachecore.errors import AccessDenied
from cachecore.ports import Credentials
from cachecore.resources.core import ObjectName, Secret, ServiceAccount
from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import LocalModelInfo, Storage
from cachecore.testing import FakeCluster, VirtualRuntime

KEY_ID, SECRET_KEY = "AKIAEXAMPLE", "swordfish"
KEYS = {"access_key_id": KEY_ID, "secret_access_key": SECRET_KEY}


def encoded(**values: str) -> dict[str, str]:
    return {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}


def storage_config(namespace: str, entry: dict[str, Any]) -> Secret:
    return Secret(
        metadata=ObjectMeta(name="storage-config", namespace=namespace),
        data=encoded(mine=msgspec.json.encode(entry).decode()),
    )


def account(namespace: str, *secrets: str, annotations: dict[str, str] | None = None) -> ServiceAccount:
    return ServiceAccount(
        metadata=ObjectMeta(name="loader", namespace=namespace, annotations=annotations or {}),
        secrets=tuple(ObjectName(name=name) for name in secrets),
    )


def entry(uri: str = "s3://m/iris", **fields: Any) -> LocalModelInfo:
    return LocalModelInfo(source_model_uri=uri, model_name="iris", **fields)


def find(wanted: LocalModelInfo, *resources: Any) -> Credentials:
    runtime = VirtualRuntime()
    return runtime.run(find_credentials(FakeCluster(runtime, *resources), wanted))


def test_none_named_is_none_found() -> None:
    assert find(entry()) == Credentials()


def test_the_storage_key_names_an_entry_of_storage_config() -> None:
    secret = storage_config(
        "localmodel-system",
        {
            "type": "s3",
            "access_key_id": KEY_ID,
            "secret_access_key": SECRET_KEY,
            "endpoint_url": "http://minio:9000",
            "region": "eu-1",
        },
    )
    found = find(entry(storage=Storage(key="mine")), secret)
    assert found.get("AWS_ACCESS_KEY_ID") == KEY_ID
    assert found.get("AWS_SECRET_ACCESS_KEY") == SECRET_KEY
    assert found.get("AWS_ENDPOINT_URL") == "http://minio:9000"
    assert found.get("AWS_DEFAULT_REGION") == "eu-1"


def test_parameters_override_the_entry() -> None:
    secret = storage_config("localmodel-system", {"region": "eu-1", **KEYS})
    found = find(entry(storage=Storage(key="mine", parameters={"region": "us-1"})), secret)
    assert found.get("AWS_DEFAULT_REGION") == "us-1"
    assert found.get("AWS_ACCESS_KEY_ID") == KEY_ID


def test_a_namespaced_cache_reads_its_own_namespace() -> None:
    ours = storage_config("localmodel-system", {**KEYS, "access_key_id": "system"})
    theirs = storage_config("team-a", {**KEYS, "access_key_id": "team"})
    found = find(entry(namespace="team-a", storage=Storage(key="mine")), ours, theirs)
    assert found.get("AWS_ACCESS_KEY_ID") == "team"


def test_a_service_account_brings_its_secrets_with_their_annotations() -> None:
    secret = Secret(
        metadata=ObjectMeta(
            name="s3",
            namespace="team-a",
            annotations={
                "serving.kserve.io/s3-endpoint": "minio:9000",
                "serving.kserve.io/s3-usehttps": "0",
                "serving.kserve.io/s3-region": "eu-1",
                "serving.kserve.io/s3-verifyssl": "0",
            },
        ),
        data=encoded(AWS_ACCESS_KEY_ID=KEY_ID, AWS_SECRET_ACCESS_KEY=SECRET_KEY),
    )
    found = find(entry(namespace="team-a", service_account_name="loader"), account("team-a", "s3"), secret)
    assert found.get("AWS_ENDPOINT_URL") == "http://minio:9000"
    assert found.get("AWS_SECRET_ACCESS_KEY") == SECRET_KEY
    assert found.get("S3_VERIFY_SSL") == "0"


def test_kserves_own_spelling_of_the_keys_is_known() -> None:
    secret = Secret(
        metadata=ObjectMeta(name="s3", namespace="localmodel-system"),
        data=encoded(awsAccessKeyID=KEY_ID, awsSecretAccessKey=SECRET_KEY),
    )
    found = find(entry(service_account_name="loader"), account("localmodel-system", "s3"), secret)
    assert (found.get("AWS_ACCESS_KEY_ID"), found.get("AWS_SECRET_ACCESS_KEY")) == (KEY_ID, SECRET_KEY)


def test_an_endpoint_without_a_scheme_is_https() -> None:
    endpoint = {"serving.kserve.io/s3-endpoint": "minio:9000"}
    found = find(entry(service_account_name="loader"), account("localmodel-system", annotations=endpoint))
    assert found.get("AWS_ENDPOINT_URL") == "https://minio:9000"


@pytest.mark.parametrize(
    "wanted, message",
    [
        (entry(storage=Storage(key="mine")), "secret localmodel-system/storage-config"),
        (entry(service_account_name="loader"), "service account localmodel-system/loader"),
    ],
)
def test_what_is_named_but_not_there_is_said(wanted: LocalModelInfo, message: str) -> None:
    with pytest.raises(AccessDenied, match=message):
        find(wanted)


def test_an_entry_that_is_no_json_is_not_quoted() -> None:
    secret = Secret(
        metadata=ObjectMeta(name="storage-config", namespace="localmodel-system"), data=encoded(mine=SECRET_KEY)
    )
    with pytest.raises(AccessDenied) as caught:
        find(entry(storage=Storage(key="mine")), secret)
    assert SECRET_KEY not in str(caught.value)


def test_credentials_appear_in_no_log_status_or_event(rig: NodeRig, caplog: pytest.LogCaptureFixture) -> None:
    rig.cluster.add(storage_config("localmodel-system", {"access_key_id": KEY_ID, "secret_access_key": SECRET_KEY}))
    iris = msgspec.structs.replace(rig.model("iris"), storage=Storage(key="mine"))
    rig.assign(iris)
    rig.source.faults.fail("list", AccessDenied("refused"), times=1)
    with caplog.at_level(logging.DEBUG):
        rig.settle()
    assert rig.stores.opened[0][1].get("AWS_SECRET_ACCESS_KEY") == SECRET_KEY
    everything = [*caplog.messages, *(str(vars(record)) for record in caplog.records), repr(rig.node)]
    everything += [repr(resource) for resource in rig.cluster._objects.values() if not isinstance(resource, Secret)]
    everything += [repr(content) for content in rig.disk.files.values()]
    assert not [text for text in everything if SECRET_KEY in text]


def test_when_the_first_credentials_are_refused_the_next_are_tried(rig: NodeRig) -> None:
    rig.cluster.add(storage_config("localmodel-system", {"access_key_id": KEY_ID, "secret_access_key": SECRET_KEY}))
    first = msgspec.structs.replace(rig.model("a"), storage=Storage(key="absent"))
    second = msgspec.structs.replace(first, model_name="b", storage=Storage(key="mine"))
    rig.assign(first, second)
    rig.settle()
    status = rig.status(first)
    assert status is not None
    assert status.state == "Downloaded"
    assert "b names other credentials for the same URI; those of a come first" in status.message
    assert set(rig.node.status.model_status) == {"a", "b"}


@pytest.mark.parametrize(
    "named, place",
    [
        (Storage(key="mine"), "; they are those of entry mine of secret localmodel-system/storage-config"),
        (Storage(parameters=KEYS), "; they are those of the cache's storage.parameters"),
        (None, ""),
    ],
)
def test_a_refusal_says_whose_credentials_they_are(rig: NodeRig, named: Storage | None, place: str) -> None:
    rig.cluster.add(storage_config("localmodel-system", {"access_key_id": KEY_ID, "secret_access_key": SECRET_KEY}))
    iris = msgspec.structs.replace(rig.model("iris"), storage=named)
    rig.assign(iris)
    rig.source.faults.fail("list", AccessDenied("the credentials are refused"), times=None)
    rig.settle(1)
    status = rig.status(iris)
    assert status is not None
    assert status.message == f"the credentials are refused{place}"


def test_an_error_that_nobody_foresaw_tells_no_signature(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign(iris)
    signed = f"https://s3/iris?X-Amz-Signature={SECRET_KEY}"
    rig.mover.faults.fail("move", RuntimeError(f"broken: {signed}"), times=None)
    rig.settle(1)
    assert rig.reason(iris) == "InternalError"
    told = [repr(resource) for resource in rig.cluster._objects.values()]
    assert not [text for text in told if SECRET_KEY in text]
