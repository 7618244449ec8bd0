"""Each kind of store finds its credentials under the names that KServe's secrets have for them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from cacheagent.credentials import credentials_place, find_credentials, same_credentials
from cachecore.errors import AccessDenied, Forbidden
from cachecore.ports import Credentials
from cachecore.resources.core import ConfigMap, ObjectName, Secret, ServiceAccount
from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import LocalModelInfo, Storage
from cachecore.testing import FakeCluster, VirtualRuntime

SYSTEM = "localmodel-system"
GOOGLE_NAME = "GOOGLE_APPLICATION_CREDENTIALS_JSON"
GOOGLE_KEY = json.dumps({"type": "service_account", "client_email": "a@b", "private_key": "swordfish"})
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
S3, GS, HF = "s3://m/iris", "gs://m/iris", "hf://owner/iris"
WEB, AZURE = "https://example.com/iris.bin", "https://acc.blob.core.windows.net/m/iris"


KEYS = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "swordfish"}


def entry(uri: str = S3, **fields: Any) -> LocalModelInfo:
    return LocalModelInfo(source_model_uri=uri, model_name="iris", **fields)


def secret(
    name: str, data: dict[str, str], *, namespace: str = SYSTEM, annotations: dict[str, str] | None = None
) -> Secret:
    return Secret(
        metadata=ObjectMeta(name=name, namespace=namespace, annotations=annotations or {}),
        data={key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    )


def storage_config(fields: dict[str, Any]) -> Secret:
    return secret("storage-config", {"mine": json.dumps(fields)})


def account(*secrets: str, namespace: str = SYSTEM, annotations: dict[str, str] | None = None) -> ServiceAccount:
    return ServiceAccount(
        metadata=ObjectMeta(name="loader", namespace=namespace, annotations=annotations or {}),
        secrets=tuple(ObjectName(name=name) for name in secrets),
    )


def find(wanted: LocalModelInfo, *resources: Any) -> Credentials:
    runtime = VirtualRuntime()
    return runtime.run(find_credentials(FakeCluster(runtime, *resources), wanted))


def of_account(uri: str, data: dict[str, str], *, annotations: dict[str, str] | None = None) -> Credentials:
    wanted = entry(uri, service_account_name="loader")
    return find(wanted, account("mine", annotations=annotations), secret("mine", data))


def of_entry(uri: str, fields: dict[str, Any], *more: Any) -> Credentials:
    return find(entry(uri, storage=Storage(key="mine")), storage_config(fields), *more)


@pytest.mark.parametrize(
    "uri, data, expected",
    [
        (GS, {"gcloud-application-credentials.json": GOOGLE_KEY}, {"GOOGLE_APPLICATION_CREDENTIALS_JSON": GOOGLE_KEY}),
        (AZURE, {"AZ_CLIENT_ID": "i", "AZ_TENANT_ID": "t"}, {"AZURE_CLIENT_ID": "i", "AZURE_TENANT_ID": "t"}),
        (AZURE, {"AZ_CLIENT_SECRET": "old", "AZURE_CLIENT_SECRET": "new"}, {"AZURE_CLIENT_SECRET": "old"}),
        (AZURE, {"AZURE_STORAGE_ACCESS_KEY": "key"}, {"AZURE_STORAGE_ACCESS_KEY": "key"}),
        (HF, {"HF_TOKEN": "swordfish\n"}, {"HF_TOKEN": "swordfish"}),
        (
            WEB,
            {"https-host": "https://example.com/", "headers": '{\n"Authorization": "Bearer swordfish"}'},
            {"HTTPS_HOST": "example.com", "HTTPS_HEADERS": '{"Authorization": "Bearer swordfish"}'},
        ),
        (WEB, {"https-host": "elsewhere.com", "headers": "{}"}, {}),
        (S3, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "token": "c", "AWS_SESSION_TOKEN": "d"},
         {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "d"}),
        (GS, {"GOOGLE_APPLICATION_CREDENTIALS": "/var/run/secrets/token"}, {}),
        (AZURE, {"AZURE_FEDERATED_TOKEN_FILE": "/var/run/secrets/token"}, {}),
    ],
)  # fmt: skip
def test_a_secret_has_kserves_names(uri: str, data: dict[str, str], expected: dict[str, str]) -> None:
    assert dict(of_account(uri, data).values) == expected


@pytest.mark.parametrize(
    "uri, fields, expected",
    [
        (S3, {**KEYS, "type": "s3", "requester_pays": "true"}, ("AWS_REQUEST_PAYER", "requester")),
        (S3, {**KEYS, "requester_pays": False}, ("AWS_REQUEST_PAYER", "")),
        (GS, {"type": "gcs", "credentials": json.loads(GOOGLE_KEY)}, (GOOGLE_NAME, GOOGLE_KEY)),
        (AZURE, {"type": "azure", "account_key": "swordfish"}, ("AZURE_STORAGE_ACCESS_KEY", "swordfish")),
        ("abfs://m/iris", {"account_name": "acc"}, ("AZURE_STORAGE_ACCOUNT", "acc")),
        (HF, {"type": "hf", "token": "swordfish"}, ("HF_TOKEN", "swordfish")),
        (HF, {"endpoint_url": "https://hub"}, ("HF_ENDPOINT", "https://hub")),
        (WEB, {"type": "https", "host": "example.com", "headers": {"a": "b"}}, ("HTTPS_HEADERS", '{"a": "b"}')),
        (S3, {"ca_bundle": PEM}, ("CA_BUNDLE_PEM", PEM)),
    ],
)  # fmt: skip
def test_an_entry_of_storage_config_is_for_each_kind(
    uri: str, fields: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert of_entry(uri, fields).get(expected[0]) == expected[1]


def test_the_fields_of_a_google_key_may_stand_in_the_entry() -> None:
    found = of_entry(GS, {"type": "gs", "client_email": "a@b", "private_key": "swordfish"})
    key = json.loads(found.get("GOOGLE_APPLICATION_CREDENTIALS_JSON"))
    assert (key["type"], key["client_email"], key["private_key"]) == ("service_account", "a@b", "swordfish")


@pytest.mark.parametrize(
    "uri, fields, message",
    [
        (GS, {"credentials": {"type": "external_account", "secret": "swordfish"}}, "the Google credentials are not"),
        (GS, {"credentials": "swordfish"}, "the Google credentials are not"),
        (WEB, {"host": "example.com", "headers": "swordfish"}, "the headers are not a JSON object"),
        (WEB, {"host": "example.com", "headers": {"a": "swordfish\nb"}}, "the headers have a name or a value"),
        (S3, {"access_key_id": "swordfish"}, "there is only one of the access key's id and its secret"),
        (S3, {"type": "gs", "credentials": "swordfish"}, "the type is for gs stores"),
        (S3, {"type": "swordfish"}, "the type is none of"),
    ],
)
def test_what_can_be_nobodys_credentials_is_said_and_not_quoted(uri: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(AccessDenied, match=f"^entry mine of secret {SYSTEM}/storage-config: {message}") as caught:
        of_entry(uri, fields)
    assert "swordfish" not in str(caught.value)


def test_of_several_secrets_for_hosts_the_uris_counts() -> None:
    secrets = [
        secret(host, {"https-host": f"{host}.com", "headers": json.dumps({"who": host})})
        for host in ("before", "example", "after")
    ]
    wanted = entry(WEB, service_account_name="loader")
    found = find(wanted, account("before", "example", "after"), *secrets)
    assert found.get("HTTPS_HEADERS") == '{"who": "example"}'


def test_a_secrets_annotations_win_over_its_entries_and_the_accounts() -> None:
    region = "serving.kserve.io/s3-region"
    found = of_account(S3, {"AWS_DEFAULT_REGION": "entry"}, annotations={region: "account"})
    assert found.get("AWS_DEFAULT_REGION") == "entry"
    annotated = secret("mine", {"AWS_DEFAULT_REGION": "entry"}, annotations={region: "annotation"})
    found = find(entry(service_account_name="loader"), account("mine"), annotated)
    assert found.get("AWS_DEFAULT_REGION") == "annotation"


def test_an_annotation_says_that_the_requester_pays() -> None:
    pays = {"localmodel.kserve.io/s3-requester-pays": "true"}
    assert of_account(S3, {}, annotations=pays).get("AWS_REQUEST_PAYER") == "requester"


# Without a key.


def parameters_only(**parameters: str) -> LocalModelInfo:
    return entry(storage=Storage(parameters=parameters))


@pytest.mark.parametrize("key, parameters", [("default", {}), ("default_s3", {"type": "s3"})])
def test_parameters_alone_are_on_top_of_the_default_entry(key: str, parameters: dict[str, str]) -> None:
    default = secret("storage-config", {key: json.dumps({**KEYS, "region": "eu-1"})})
    found = find(parameters_only(region="us-1", **parameters), default)
    assert (found.get("AWS_DEFAULT_REGION"), found.get("AWS_ACCESS_KEY_ID")) == ("us-1", KEYS["access_key_id"])


@pytest.mark.parametrize("there", [(), (secret("storage-config", {"other": "{}"}),)])
def test_the_default_entry_need_not_be_there(there: tuple[Secret, ...]) -> None:
    assert find(parameters_only(region="us-1"), *there).get("AWS_DEFAULT_REGION") == "us-1"


def test_parameters_are_on_top_of_a_service_account_too() -> None:
    wanted = entry(service_account_name="loader", storage=Storage(parameters={"region": "us-1"}))
    keys = secret("mine", {"awsAccessKeyID": "a", "awsSecretAccessKey": "b", "AWS_DEFAULT_REGION": "eu-1"})
    found = find(wanted, account("mine"), keys)
    assert (found.get("AWS_DEFAULT_REGION"), found.get("AWS_ACCESS_KEY_ID")) == ("us-1", "a")
    assert credentials_place(wanted) == f"service account {SYSTEM}/loader"
    assert not same_credentials(wanted, entry(service_account_name="loader"))


# CA bundles.


def bundle(name: str, data: dict[str, str]) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace=SYSTEM), data=data)


@pytest.mark.parametrize(
    "fields, file",
    [({}, "cabundle.crt"), ({"ca_bundle": "/etc/ssl/custom-certs/ours.crt"}, "ours.crt")],
)
def test_a_ca_bundle_comes_from_the_config_map(fields: dict[str, str], file: str) -> None:
    found = of_entry(S3, {**fields, "cabundle_configmap": "certs"}, bundle("certs", {file: PEM}))
    assert (found.get("CA_BUNDLE_PEM"), found.get("AWS_CA_BUNDLE")) == (PEM, "")


def test_an_annotation_names_the_config_map_as_well() -> None:
    named_by = {"serving.kserve.io/s3-cabundle-configmap": "certs"}
    wanted = entry(service_account_name="loader")
    found = find(wanted, account(annotations=named_by), bundle("certs", {"cabundle.crt": PEM}))
    assert found.get("CA_BUNDLE_PEM") == PEM


@pytest.mark.parametrize(
    "there, message",
    [
        ((), "ConfigMap .*/certs with the CA bundle can't be read"),
        ((bundle("certs", {}),), "has no entry cabundle.crt"),
    ],
)
def test_a_ca_bundle_that_is_not_there_is_said(there: tuple[ConfigMap, ...], message: str) -> None:
    with pytest.raises(AccessDenied, match=message):
        of_entry(S3, {"cabundle_configmap": "certs"}, *there)


def test_without_verification_no_ca_bundle_is_read() -> None:
    assert of_entry(S3, {"cabundle_configmap": "certs", "verify_ssl": False}).get("S3_VERIFY_SSL") == "false"


# Identities of pods.


@pytest.mark.parametrize(
    "uri, annotation",
    [
        (S3, "eks.amazonaws.com/role-arn"),
        (GS, "iam.gke.io/gcp-service-account"),
        (AZURE, "azure.workload.identity/client-id"),
    ],
)
def test_an_identity_of_the_accounts_own_pods_is_refused_in_words(uri: str, annotation: str) -> None:
    with pytest.raises(AccessDenied, match=f"loader has an identity .{annotation}. that only its own pods can take on"):
        of_account(uri, {}, annotations={annotation: "someone"})


def test_keys_win_over_an_identity() -> None:
    role = {"eks.amazonaws.com/role-arn": "someone"}
    found = of_account(S3, {"awsAccessKeyID": "a", "awsSecretAccessKey": "b"}, annotations=role)
    assert found.get("AWS_ACCESS_KEY_ID") == "a"


def test_an_identity_for_another_cloud_does_not_matter() -> None:
    found = of_account(HF, {"HF_TOKEN": "t"}, annotations={"eks.amazonaws.com/role-arn": "someone"})
    assert found.get("HF_TOKEN") == "t"


# What is read.


@pytest.mark.parametrize(
    "wanted, reads",
    [
        (entry(), []),
        (entry(storage=Storage(key="mine")), ["Secret/localmodel-system/storage-config"]),
        (
            entry(namespace="team", service_account_name="loader"),
            ["ServiceAccount/team/loader", "Secret/team/mine", "ConfigMap/team/certs"],
        ),
    ],
)
def test_only_what_the_cache_leads_to_is_read_and_nothing_is_listed(wanted: LocalModelInfo, reads: list[str]) -> None:
    runtime = VirtualRuntime()
    annotations = {"serving.kserve.io/s3-cabundle-configmap": "certs"}
    cluster = FakeCluster(runtime, storage_config(KEYS), account("mine", namespace="team", annotations=annotations))
    for name in ("mine", "others"):
        cluster.add(secret(name, {"HF_TOKEN": "t"}, namespace="team"))
    cluster.add(ConfigMap(metadata=ObjectMeta(name="certs", namespace="team"), data={"cabundle.crt": PEM}))
    runtime.run(find_credentials(cluster, wanted))
    assert cluster.faults.calls == [("get", subject) for subject in reads]


def test_a_secret_that_the_agent_may_not_read_is_named() -> None:
    runtime = VirtualRuntime()
    cluster = FakeCluster(runtime, storage_config(KEYS))
    cluster.faults.fail("get", Forbidden("secrets is forbidden"))
    with pytest.raises(AccessDenied, match=f"secret {SYSTEM}/storage-config can't be read: Forbidden"):
        runtime.run(find_credentials(cluster, entry(storage=Storage(key="mine"))))
