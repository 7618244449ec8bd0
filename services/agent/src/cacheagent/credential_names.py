"""What KServe's secrets, annotations and `storage-config` entries say, under the names that the drivers know.

Pure: what is read is given, and what a value is never appears in an error.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from cachecore.errors import AccessDenied
from cachecore.names import DOMAIN
from cachecore.ports import Credentials
from cachecore.resources.serving import GROUP

CA_BUNDLE_CONFIG_MAP = "AWS_CA_BUNDLE_CONFIGMAP"
CA_BUNDLE_FILE = "cabundle.crt"

# The drivers' families, by the schemes of URIs and the types of entries of `storage-config`.
_FAMILIES = {
    "s3": "s3",
    "gs": "gs",
    "gcs": "gs",
    "abfs": "azure",
    "abfss": "azure",
    "az": "azure",
    "azure": "azure",
    "hf": "hf",
    "http": "http",
    "https": "http",
    "hdfs": "hdfs",
    "webhdfs": "hdfs",
}
_EVERYWHERE = {"cabundle_configmap": CA_BUNDLE_CONFIG_MAP, "ca_bundle": "CA_BUNDLE", "verify_ssl": "VERIFY_SSL"}
_FIELDS = {
    # What KServe's storage-initializer makes of an entry of type s3; requester_pays is ours.
    "s3": {
        **_EVERYWHERE,
        "endpoint_url": "AWS_ENDPOINT_URL",
        "access_key_id": "AWS_ACCESS_KEY_ID",
        "secret_access_key": "AWS_SECRET_ACCESS_KEY",
        "session_token": "AWS_SESSION_TOKEN",
        "region": "AWS_DEFAULT_REGION",
        "ca_bundle": "AWS_CA_BUNDLE",
        "verify_ssl": "S3_VERIFY_SSL",
        "anonymous": "awsAnonymousCredential",
        "requester_pays": "AWS_REQUEST_PAYER",
    },
    "gs": {
        **_EVERYWHERE,
        "endpoint_url": "GS_ENDPOINT_URL",
        "credentials": "GOOGLE_APPLICATION_CREDENTIALS_JSON",
        "anonymous": "GS_ANONYMOUS",
        "user_project": "GS_USER_PROJECT",
    },
    "azure": {
        **_EVERYWHERE,
        "endpoint_url": "AZURE_STORAGE_ENDPOINT",
        "account_name": "AZURE_STORAGE_ACCOUNT",
        "account_key": "AZURE_STORAGE_ACCESS_KEY",
        "access_key": "AZURE_STORAGE_ACCESS_KEY",
        "sas_token": "AZURE_STORAGE_SAS_TOKEN",
        "client_id": "AZURE_CLIENT_ID",
        "client_secret": "AZURE_CLIENT_SECRET",
        "tenant_id": "AZURE_TENANT_ID",
    },
    "hf": {**_EVERYWHERE, "endpoint_url": "HF_ENDPOINT", "token": "HF_TOKEN"},
    "http": {**_EVERYWHERE, "host": "HTTPS_HOST", "https-host": "HTTPS_HOST", "headers": "HTTPS_HEADERS"},
}
# What a secret's entry is called, where that isn't the driver's name.
_ENTRIES = {
    "awsAccessKeyID": "AWS_ACCESS_KEY_ID",
    "awsSecretAccessKey": "AWS_SECRET_ACCESS_KEY",
    "gcloud-application-credentials.json": "GOOGLE_APPLICATION_CREDENTIALS_JSON",
    "AZ_CLIENT_ID": "AZURE_CLIENT_ID",
    "AZ_CLIENT_SECRET": "AZURE_CLIENT_SECRET",
    "AZ_TENANT_ID": "AZURE_TENANT_ID",
    "AZ_SUBSCRIPTION_ID": "AZURE_SUBSCRIPTION_ID",
    "AZURE_ACCOUNT_NAME": "AZURE_STORAGE_ACCOUNT",
    "https-host": "HTTPS_HOST",
    "headers": "HTTPS_HEADERS",
}
_ANNOTATIONS = {
    f"{GROUP}/s3-endpoint": "S3_ENDPOINT",
    f"{GROUP}/s3-usehttps": "S3_USE_HTTPS",
    f"{GROUP}/s3-region": "AWS_DEFAULT_REGION",
    f"{GROUP}/s3-verifyssl": "S3_VERIFY_SSL",
    f"{GROUP}/s3-cabundle": "AWS_CA_BUNDLE",
    f"{GROUP}/s3-cabundle-configmap": CA_BUNDLE_CONFIG_MAP,
    f"{GROUP}/s3-useanoncredential": "awsAnonymousCredential",
    f"{GROUP}/s3-usevirtualbucket": "S3_USER_VIRTUAL_BUCKET",
    f"{GROUP}/s3-useaccelerate": "S3_USE_ACCELERATE",
    # KServe has none for it.
    f"{DOMAIN}/s3-requester-pays": "AWS_REQUEST_PAYER",
}
# What a cloud's webhook makes of these is for the account's own pods only: the annotation, and what does without it.
_IDENTITIES = {
    "s3": ("eks.amazonaws.com/role-arn", ("AWS_ACCESS_KEY_ID", "awsAnonymousCredential")),
    "gs": ("iam.gke.io/gcp-service-account", ("GOOGLE_APPLICATION_CREDENTIALS_JSON",)),
    "azure": (
        "azure.workload.identity/client-id",
        ("AZURE_CLIENT_SECRET", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_SAS_TOKEN"),
    ),
}
_OURS = re.compile(r"[A-Z][A-Z0-9_]*|awsAnonymousCredential")
# Paths. They would lead to files of the agent, which are nobody else's business.
_PATHS = re.compile(r"GOOGLE_APPLICATION_CREDENTIALS|.*_FILE")
_AZURE_HOST = re.compile(r"\.(?:blob|dfs)\.(?:core|storage)\.")
# The other types make the client read files, or run commands, where it is: on the agent.
_GOOGLE_TYPES = ("service_account", "authorized_user")


def family_of(uri: str) -> str:
    """Which kind of store a URI names: s3, gs, azure, hf, http, hdfs; "" for another."""
    scheme, _, rest = uri.partition("://")
    if scheme == "https" and _AZURE_HOST.search(rest.partition("/")[0]):
        return "azure"
    return _FAMILIES.get(scheme, "")


def decode_entries(data: Mapping[str, str]) -> dict[str, str]:
    """A secret's data as text; what isn't text is nothing that a driver takes from here."""
    values = {}
    for name, encoded in sorted(data.items()):
        try:
            values[name] = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    return values


def of_fields(fields: Mapping[str, Any], uri: str, place: str) -> dict[str, str]:
    """The values of an entry of `storage-config`, and of the cache's parameters.

    Raises `AccessDenied` when they are for another kind of store than the URI's.
    """
    family = family_of(uri)
    told = str(fields.get("type") or "")
    if told and family:
        meant = _FAMILIES.get(told.lower(), "")
        if not meant:
            raise AccessDenied(f"{place}: the type is none of {', '.join(sorted(_FAMILIES))}")
        if meant != family:
            raise AccessDenied(f"{place}: the type is for {meant} stores, and {uri} is in none of those")
    texts = {name: _text(value) for name, value in fields.items()}
    if family == "gs" and texts.get("private_key"):
        # The fields of a key file, one by one.
        key = {name: texts[name] for name in ("client_email", "private_key", "private_key_id") if texts.get(name)}
        key["token_uri"] = texts.get("token_uri") or "https://oauth2.googleapis.com/token"
        texts["credentials"] = json.dumps({"type": "service_account", **key})
    return _known({_FIELDS.get(family, {}).get(name, name): value for name, value in texts.items()})


def of_secret(entries: Mapping[str, str], annotations: Mapping[str, str], uri: str) -> dict[str, str]:
    """The values of one secret of a service account. As in KServe, its annotations win over its entries."""
    values = _known({_ENTRIES.get(name, name): value for name, value in entries.items()})
    # The old spelling wins in KServe, wherever it stands.
    values.update({_ENTRIES[name]: value for name, value in entries.items() if name.startswith("AZ_")})
    values.update(of_annotations(annotations))
    if family_of(uri) == "http" and not same_host(host_of(values.get("HTTPS_HOST", "")), uri):
        # An account may have one such secret for each host.
        values.pop("HTTPS_HOST", None)
        values.pop("HTTPS_HEADERS", None)
    return values


def of_annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    return {name: annotations[key] for key, name in _ANNOTATIONS.items() if annotations.get(key)}


def host_of(text: str) -> str:
    """The host of a secret's `https-host`, which people write as a URL as well; with the port, if it has one."""
    return text.strip().lower().rpartition("://")[2].partition("/")[0]


def same_host(host: str, uri: str) -> bool:
    """Whether it is the URI's, whatever its port or with that very one."""
    try:
        asked = urlsplit(uri)
    except ValueError:
        return False
    return host in ((asked.hostname or ""), asked.netloc.lower())


def foreign_identity(annotations: Mapping[str, str], values: Mapping[str, str], uri: str) -> str:
    """The annotation of an identity that only the account's own pods have; "" when the values do without it."""
    annotation, instead = _IDENTITIES.get(family_of(uri), ("", ()))
    return annotation if annotations.get(annotation) and not any(values.get(name) for name in instead) else ""


def make_credentials(values: Mapping[str, str], place: str) -> Credentials:
    """The values as the drivers take them. Raises `AccessDenied` for what is no key, bundle or header at all."""
    # A newline at the end of a key is a slip of the hand, and one in a header an error that would quote it.
    made = {name: value.strip() for name, value in values.items() if value.strip()}
    if "AWS_REQUEST_PAYER" in made:
        pays = made["AWS_REQUEST_PAYER"].lower() in ("1", "true", "requester")
        made["AWS_REQUEST_PAYER"] = "requester" if pays else ""
    if "-----BEGIN" in made.get("AWS_CA_BUNDLE", ""):
        made["CA_BUNDLE_PEM"] = made.pop("AWS_CA_BUNDLE")
    if "GOOGLE_APPLICATION_CREDENTIALS_JSON" in made:
        _check_google_key(made["GOOGLE_APPLICATION_CREDENTIALS_JSON"], place)
    if ("AWS_ACCESS_KEY_ID" in made) != ("AWS_SECRET_ACCESS_KEY" in made):
        raise AccessDenied(f"{place}: there is only one of the access key's id and its secret")
    if "HTTPS_HOST" in made:
        made["HTTPS_HOST"] = host_of(made["HTTPS_HOST"])
    if "HTTPS_HEADERS" in made:
        made["HTTPS_HEADERS"] = _headers(made["HTTPS_HEADERS"], place)
    _resolve_endpoint(made)
    return Credentials(tuple(sorted((name, value) for name, value in made.items() if value)))


def _known(values: Mapping[str, str]) -> dict[str, str]:
    """What is spelt as the drivers' names are; the rest (a token, a bucket's name) is for nobody here."""
    return {name: value for name, value in values.items() if _OURS.fullmatch(name) and not _PATHS.fullmatch(name)}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, (dict, list)) else "" if value is None else str(value)


def _check_google_key(text: str, place: str) -> None:
    try:
        key = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        key = {}
    if key.get("type") not in _GOOGLE_TYPES:
        raise AccessDenied(f"{place}: the Google credentials are not the JSON of one of {', '.join(_GOOGLE_TYPES)}")


def _headers(text: str, place: str) -> str:
    """One line. Raises `AccessDenied` when it isn't a JSON object of texts that may be headers."""
    try:
        headers = msgspec.json.decode(text, type=dict[str, str])
    except msgspec.DecodeError:
        # The error's text could quote the secret.
        raise AccessDenied(f"{place}: the headers are not a JSON object of texts") from None
    if any(not name or not (name + value).isprintable() for name, value in headers.items()):
        raise AccessDenied(f"{place}: the headers have a name or a value that is none")
    return json.dumps(headers)


def _resolve_endpoint(values: dict[str, str]) -> None:
    """AWS_ENDPOINT_URL made of S3_ENDPOINT and S3_USE_HTTPS, as KServe makes it: https unless told otherwise."""
    endpoint = values.get("S3_ENDPOINT", "")
    if endpoint and "AWS_ENDPOINT_URL" not in values:
        if "://" not in endpoint:
            scheme = "http" if values.get("S3_USE_HTTPS", "").lower() in ("0", "false") else "https"
            endpoint = f"{scheme}://{endpoint}"
        values["AWS_ENDPOINT_URL"] = endpoint
