"""Where a model's credentials are, as KServe finds them: the secret `storage-config`, or the service account's secrets.

Nothing here is ever logged or reported but the names of secrets and of their entries.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from cachecore.errors import AccessDenied, ApiError, Forbidden, NotFound
from cachecore.names import STORAGE_CONFIG_SECRET, SYSTEM_NAMESPACE
from cachecore.ports import ClusterClient, Credentials
from cachecore.resources.core import Secret, ServiceAccount
from cachecore.resources.serving import GROUP, LocalModelInfo

# What KServe's storage-initializer makes of the fields of an entry of `storage-config` of type s3.
_STORAGE_CONFIG_NAMES = {
    "endpoint_url": "AWS_ENDPOINT_URL",
    "access_key_id": "AWS_ACCESS_KEY_ID",
    "secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "session_token": "AWS_SESSION_TOKEN",
    "region": "AWS_DEFAULT_REGION",
    "ca_bundle": "AWS_CA_BUNDLE",
    "verify_ssl": "S3_VERIFY_SSL",
    "anonymous": "awsAnonymousCredential",
}
# A secret's own spelling of the two keys; the others are spelt as they are used.
_SECRET_NAMES = {"awsAccessKeyID": "AWS_ACCESS_KEY_ID", "awsSecretAccessKey": "AWS_SECRET_ACCESS_KEY"}
_ANNOTATIONS = {
    f"{GROUP}/s3-endpoint": "S3_ENDPOINT",
    f"{GROUP}/s3-usehttps": "S3_USE_HTTPS",
    f"{GROUP}/s3-region": "AWS_DEFAULT_REGION",
    f"{GROUP}/s3-verifyssl": "S3_VERIFY_SSL",
    f"{GROUP}/s3-cabundle": "AWS_CA_BUNDLE",
    f"{GROUP}/s3-useanoncredential": "awsAnonymousCredential",
    f"{GROUP}/s3-usevirtualbucket": "S3_USER_VIRTUAL_BUCKET",
    f"{GROUP}/s3-useaccelerate": "S3_USE_ACCELERATE",
}


def same_credentials(first: LocalModelInfo, second: LocalModelInfo) -> bool:
    """Whether two entries name the same credentials, without reading any."""
    return _identity(first) == _identity(second)


def _identity(entry: LocalModelInfo) -> tuple[Any, ...]:
    if entry.storage is not None and entry.storage.key is not None:
        return ("storage", entry.namespace, entry.storage.key, sorted(entry.storage.parameters.items()))
    return ("account", entry.namespace if entry.service_account_name else "", entry.service_account_name)


def credentials_place(entry: LocalModelInfo, *, system_namespace: str = SYSTEM_NAMESPACE) -> str:
    """Where a person finds the credentials that an entry names; "" when it names none."""
    namespace = entry.namespace or system_namespace
    if entry.storage is not None and entry.storage.key is not None:
        return f"entry {entry.storage.key} of secret {namespace}/{STORAGE_CONFIG_SECRET}"
    if entry.storage is not None and entry.storage.parameters:
        return "the cache's storage.parameters"
    if entry.service_account_name:
        return f"service account {namespace}/{entry.service_account_name}"
    return ""


async def find_credentials(
    client: ClusterClient, entry: LocalModelInfo, *, system_namespace: str = SYSTEM_NAMESPACE
) -> Credentials:
    """The credentials that an entry names; empty when it names none, so that the driver uses the agent's own.

    Raises `AccessDenied` when what it names can't be had, `ApiError` when the API server does not answer.
    """
    namespace = entry.namespace or system_namespace
    if entry.storage is not None and (entry.storage.key is not None or entry.storage.parameters):
        return await _from_storage_config(client, namespace, entry.storage.key, entry.storage.parameters)
    if entry.service_account_name:
        return await _from_service_account(client, namespace, entry.service_account_name)
    return Credentials()


async def _from_storage_config(
    client: ClusterClient, namespace: str, key: str | None, parameters: dict[str, str]
) -> Credentials:
    fields: dict[str, Any] = {}
    if key is not None:
        secret = await _secret(client, namespace, STORAGE_CONFIG_SECRET)
        content = _values(secret).get(key)
        if content is None:
            raise AccessDenied(f"secret {namespace}/{STORAGE_CONFIG_SECRET} has no entry {key}")
        try:
            fields = msgspec.json.decode(content, type=dict[str, Any])
        except msgspec.DecodeError:
            # The error's text could quote the secret.
            raise AccessDenied(
                f"entry {key} of secret {namespace}/{STORAGE_CONFIG_SECRET} is not a JSON object"
            ) from None
    fields.update(parameters)
    values = {_STORAGE_CONFIG_NAMES.get(name, name): _text(value) for name, value in fields.items()}
    return _credentials(values)


async def _from_service_account(client: ClusterClient, namespace: str, name: str) -> Credentials:
    try:
        account = await client.get(ServiceAccount, name, namespace)
    except (NotFound, Forbidden) as error:
        raise AccessDenied(f"service account {namespace}/{name} can't be read: {error.reason}") from error
    values = _annotated(account.metadata.annotations)
    for reference in account.secrets:
        secret = await _secret(client, namespace, reference.name)
        found = _values(secret)
        values.update({_SECRET_NAMES.get(entry, entry): value for entry, value in found.items()})
        values.update(_annotated(secret.metadata.annotations))
    return _credentials(values)


async def _secret(client: ClusterClient, namespace: str, name: str) -> Secret:
    try:
        return await client.get(Secret, name, namespace)
    except (NotFound, Forbidden) as error:
        raise AccessDenied(f"secret {namespace}/{name} can't be read: {error.reason}") from error
    except ApiError:
        raise


def _values(secret: Secret) -> dict[str, str]:
    values = {}
    for name, encoded in sorted(secret.data.items()):
        try:
            values[name] = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            # Not text: nothing that a driver takes from here.
            continue
    values.update(secret.string_data)
    return values


def _annotated(annotations: dict[str, str]) -> dict[str, str]:
    return {name: annotations[key] for key, name in _ANNOTATIONS.items() if annotations.get(key)}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _credentials(values: dict[str, str]) -> Credentials:
    """With AWS_ENDPOINT_URL made of S3_ENDPOINT and S3_USE_HTTPS, as KServe makes it: https unless told otherwise."""
    endpoint = values.get("S3_ENDPOINT", "").strip()
    if endpoint and "AWS_ENDPOINT_URL" not in values:
        if "://" not in endpoint:
            scheme = "http" if values.get("S3_USE_HTTPS", "").strip().lower() in ("0", "false") else "https"
            endpoint = f"{scheme}://{endpoint}"
        values["AWS_ENDPOINT_URL"] = endpoint
    return Credentials(tuple(sorted((name, value) for name, value in values.items() if value)))
