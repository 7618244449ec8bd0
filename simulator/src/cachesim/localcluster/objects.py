"""What is in the cluster from the beginning, beside the CustomResourceDefinitions of localmodel."""

from __future__ import annotations

import base64

import msgspec

from cachecore.names import STORAGE_CONFIG_SECRET, SYSTEM_NAMESPACE
from cachecore.resources.meta import JsonObject
from cachecore.resources.serving import GROUP, VERSION
from cachesim.localcluster.s3 import LocalS3

DEFAULT_NAMESPACE = "default"
CREDENTIALS_SECRET = "local-s3"
# The entry of the secret storage-config that `spec.storage.key` names.
STORAGE_KEY = "local-s3"


def namespace(name: str) -> JsonObject:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def webhook_configurations(url: str, authority: bytes) -> list[JsonObject]:
    """Pods are mutated as they are made, our kinds validated; a webhook that is away stops nothing."""
    bundle = base64.b64encode(authority).decode()
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    kinds = {
        "apiGroups": [GROUP],
        "apiVersions": [VERSION],
        "operations": ["CREATE", "UPDATE", "DELETE"],
        "resources": ["localmodelcaches", "localmodelnamespacecaches", "localmodelnodegroups", "localmodelnodes"],
    }
    common = {"failurePolicy": "Ignore", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 5}
    mutating = {
        **common,
        "name": "pods.localmodel.kserve.io",
        "clientConfig": {"url": f"{url}/mutate-pods", "caBundle": bundle},
        "rules": [pods],
        "reinvocationPolicy": "IfNeeded",
    }
    validating = {
        **common,
        "name": "localmodels.localmodel.kserve.io",
        "clientConfig": {"url": f"{url}/validate-localmodels", "caBundle": bundle},
        "rules": [kinds],
    }
    return [_configuration("Mutating", mutating), _configuration("Validating", validating)]


def _configuration(way: str, webhook: JsonObject) -> JsonObject:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{way}WebhookConfiguration",
        "metadata": {"name": "localmodel"},
        "webhooks": [webhook],
    }


def storage_entry(s3: LocalS3) -> JsonObject:
    """What an entry of the secret storage-config says of an S3."""
    return {
        "type": "s3",
        "access_key_id": s3.access_key,
        "secret_access_key": s3.secret_key,
        "endpoint_url": s3.endpoint_url,
        "region": s3.region,
    }


def credentials(s3: LocalS3, in_namespace: str) -> list[JsonObject]:
    """What lets the pods of a namespace read S3 by its default service account, and its caches by `storage.key`."""
    endpoint = s3.endpoint_url.partition("://")[2]
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": CREDENTIALS_SECRET,
            "namespace": in_namespace,
            "annotations": {
                f"{GROUP}/s3-endpoint": endpoint,
                f"{GROUP}/s3-usehttps": "0",
                f"{GROUP}/s3-region": s3.region,
            },
        },
        "stringData": {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key},
    }
    storage_config = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": STORAGE_CONFIG_SECRET, "namespace": in_namespace},
        "stringData": {STORAGE_KEY: msgspec.json.encode(storage_entry(s3)).decode()},
    }
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": in_namespace},
        "secrets": [{"name": CREDENTIALS_SECRET}],
    }
    return [secret, storage_config, account]


def first_objects(s3: LocalS3) -> list[JsonObject]:
    """Namespaces and credentials."""
    return [
        namespace(SYSTEM_NAMESPACE),
        *credentials(s3, DEFAULT_NAMESPACE),
        *credentials(s3, SYSTEM_NAMESPACE),
    ]


def as_applied(content: JsonObject) -> JsonObject:
    """The object as `kubectl apply` leaves it, so that a person who applies the same file gets no warning."""
    applied = msgspec.json.encode(content).decode() + "\n"
    metadata = content["metadata"]
    annotations = {**(metadata.get("annotations") or {}), "kubectl.kubernetes.io/last-applied-configuration": applied}
    return {**content, "metadata": {**metadata, "annotations": annotations}}
