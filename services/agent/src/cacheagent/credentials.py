"""Where a model's credentials are, as KServe finds them: the secret `storage-config`, or the service account's secrets.

Each secret is read by its name, and only those that the model's cache leads to. Nothing of it is ever logged or
reported but the names of secrets and of their entries.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from cacheagent.credential_names import (
    CA_BUNDLE_CONFIG_MAP,
    CA_BUNDLE_FILE,
    decode_entries,
    foreign_identity,
    make_credentials,
    of_annotations,
    of_fields,
    of_secret,
)
from cachecore.errors import AccessDenied, Forbidden, NotFound
from cachecore.names import STORAGE_CONFIG_SECRET, SYSTEM_NAMESPACE
from cachecore.ports import ClusterClient, Credentials
from cachecore.resources.core import ConfigMap, Secret, ServiceAccount
from cachecore.resources.serving import LocalModelInfo, Storage

# The entry of `storage-config` that counts when a cache gives parameters only; `default_s3` for those of type s3.
DEFAULT_ENTRY = "default"


def same_credentials(first: LocalModelInfo, second: LocalModelInfo) -> bool:
    """Whether two entries name the same credentials, without reading any."""
    return _identity(first) == _identity(second)


def _identity(entry: LocalModelInfo) -> tuple[Any, ...]:
    storage = entry.storage or Storage()
    parameters = sorted(storage.parameters.items())
    if storage.key is not None:
        return ("storage", entry.namespace, storage.key, parameters)
    return (
        "account",
        entry.namespace if entry.service_account_name or parameters else "",
        entry.service_account_name,
        parameters,
    )


def credentials_place(entry: LocalModelInfo, *, system_namespace: str = SYSTEM_NAMESPACE) -> str:
    """Where a person finds the credentials that an entry names; "" when it names none."""
    namespace = entry.namespace or system_namespace
    if entry.storage is not None and entry.storage.key is not None:
        return f"entry {entry.storage.key} of secret {namespace}/{STORAGE_CONFIG_SECRET}"
    if entry.service_account_name:
        return f"service account {namespace}/{entry.service_account_name}"
    if entry.storage is not None and entry.storage.parameters:
        return "the cache's storage.parameters"
    return ""


async def find_credentials(
    client: ClusterClient, entry: LocalModelInfo, *, system_namespace: str = SYSTEM_NAMESPACE
) -> Credentials:
    """The credentials that an entry names; empty when it names none, so that the driver uses the agent's own.

    A storage key wins over a service account, and the parameters win over both. Raises `AccessDenied` when what it
    names can't be had, `ApiError` when the API server does not answer.
    """
    place = credentials_place(entry, system_namespace=system_namespace)
    if not place:
        return Credentials()
    namespace, uri = entry.namespace or system_namespace, entry.source_model_uri
    storage = entry.storage or Storage()
    if storage.key is not None or not entry.service_account_name:
        fields = {**await _fields(client, namespace, storage), **storage.parameters}
        values = of_fields(fields, uri, place)
    else:
        values = await _from_service_account(client, namespace, entry.service_account_name, uri)
        values.update(of_fields(storage.parameters, uri, place))
    await _take_ca_bundle(client, namespace, values)
    return make_credentials(values, place)


async def _fields(client: ClusterClient, namespace: str, storage: Storage) -> dict[str, Any]:
    """The entry of `storage-config`. One that is not named, the default, need not be there."""
    try:
        secret = await _secret(client, namespace, STORAGE_CONFIG_SECRET)
    except _Absent:
        if storage.key is not None:
            raise
        return {}
    type_ = storage.parameters.get("type", "")
    key = storage.key if storage.key is not None else f"{DEFAULT_ENTRY}_{type_}" if type_ else DEFAULT_ENTRY
    content = _entries(secret).get(key)
    if content is None:
        if storage.key is None:
            return {}
        raise AccessDenied(f"secret {namespace}/{STORAGE_CONFIG_SECRET} has no entry {key}")
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except msgspec.DecodeError:
        # The error's text could quote the secret.
        raise AccessDenied(f"entry {key} of secret {namespace}/{STORAGE_CONFIG_SECRET} is not a JSON object") from None


async def _from_service_account(client: ClusterClient, namespace: str, name: str, uri: str) -> dict[str, str]:
    with _reading(f"service account {namespace}/{name}"):
        account = await client.get(ServiceAccount, name, namespace)
    annotations = account.metadata.annotations
    values = of_annotations(annotations)
    for reference in account.secrets:
        secret = await _secret(client, namespace, reference.name)
        values.update(of_secret(_entries(secret), secret.metadata.annotations, uri))
    foreign = foreign_identity(annotations, values, uri)
    if foreign:
        raise AccessDenied(
            f"service account {namespace}/{name} has an identity ({foreign}) that only its own pods can take on: "
            "give it a secret with keys, or let the agent's own service account read the store and name none here"
        )
    return values


async def _take_ca_bundle(client: ClusterClient, namespace: str, values: dict[str, str]) -> None:
    """The CA bundle of a ConfigMap, which KServe mounts in the pod that downloads, and we read."""
    name = values.pop(CA_BUNDLE_CONFIG_MAP, "")
    if not name or values.get("S3_VERIFY_SSL", values.get("VERIFY_SSL", "")).lower() in ("0", "false"):
        return
    with _reading(f"ConfigMap {namespace}/{name} with the CA bundle"):
        config_map = await client.get(ConfigMap, name, namespace)
    # The path, if there is one, is where KServe would mount it.
    file = posixpath.basename(values.pop("AWS_CA_BUNDLE", "") or values.pop("CA_BUNDLE", "")) or CA_BUNDLE_FILE
    if not config_map.data.get(file):
        raise AccessDenied(f"ConfigMap {namespace}/{name} has no entry {file} with a CA bundle")
    values["CA_BUNDLE_PEM"] = config_map.data[file]


class _Absent(AccessDenied):
    """What is named is not there."""


@contextmanager
def _reading(subject: str) -> Iterator[None]:
    """What is named and can't be read is a matter of access. Raises `ApiError` when nobody can tell."""
    try:
        yield
    except (NotFound, Forbidden) as error:
        refused = _Absent if isinstance(error, NotFound) else AccessDenied
        raise refused(f"{subject} can't be read: {error.reason}") from error


async def _secret(client: ClusterClient, namespace: str, name: str) -> Secret:
    with _reading(f"secret {namespace}/{name}"):
        return await client.get(Secret, name, namespace)


def _entries(secret: Secret) -> dict[str, str]:
    return {**decode_entries(secret.data), **secret.string_data}
