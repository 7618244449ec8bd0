"""The variables that KServe sets on a storage initializer, out of its service account's secrets."""

from __future__ import annotations

import base64

from cachecore.errors import NotFound
from cachecore.ports import ClusterClient
from cachecore.resources.core import EnvVar, EnvVarSource, Secret, SecretKeySelector, ServiceAccount

_DOMAIN = "serving.kserve.io"
_ACCESS_KEY = "AWS_ACCESS_KEY_ID"
_SECRET_KEY = "AWS_SECRET_ACCESS_KEY"


async def storage_environment(client: ClusterClient, service_account: str, namespace: str) -> tuple[EnvVar, ...]:
    """As KServe: an account, or a secret, that is not there sets nothing. Raises other `ApiError`s."""
    try:
        account = await client.get(ServiceAccount, service_account or "default", namespace)
    except NotFound:
        return ()
    variables: dict[str, EnvVar] = {}
    for reference in account.secrets:
        try:
            secret = await client.get(Secret, reference.name, namespace)
        except NotFound:
            continue
        variables.update((variable.name, variable) for variable in secret_environment(secret))
    return tuple(variables.values())


def secret_environment(secret: Secret) -> tuple[EnvVar, ...]:
    """The variables of one secret with S3 credentials; none for a secret of another kind."""
    names = {_ACCESS_KEY: _ACCESS_KEY, _SECRET_KEY: _SECRET_KEY}
    if _SECRET_KEY not in secret.data:
        if "awsSecretAccessKey" not in secret.data:
            return ()
        names = {_ACCESS_KEY: "awsAccessKeyID", _SECRET_KEY: "awsSecretAccessKey"}
    variables = [
        EnvVar(name=name, value_from=EnvVarSource(secret_key_ref=SecretKeySelector(name=secret.name, key=key)))
        for name, key in names.items()
    ]
    endpoint = _setting(secret, "s3-endpoint", "S3_ENDPOINT")
    if endpoint:
        bare = endpoint.removeprefix("https://").removeprefix("http://")
        if endpoint.startswith("http://"):
            https = "0"
        elif endpoint.startswith("https://"):
            https = "1"
        else:
            https = _setting(secret, "s3-usehttps", "S3_USE_HTTPS")
        if https:
            variables.append(EnvVar(name="S3_USE_HTTPS", value=https))
        variables.append(EnvVar(name="S3_ENDPOINT", value=bare))
        variables.append(EnvVar(name="AWS_ENDPOINT_URL", value=f"{'http' if https == '0' else 'https'}://{bare}"))
    for annotation, name in (
        ("s3-verifyssl", "S3_VERIFY_SSL"),
        ("s3-useanoncredential", "awsAnonymousCredential"),
        ("s3-region", "AWS_DEFAULT_REGION"),
        ("s3-usevirtualbucket", "S3_USER_VIRTUAL_BUCKET"),
        ("s3-useaccelerate", "S3_USE_ACCELERATE"),
        ("s3-cabundle", "AWS_CA_BUNDLE"),
    ):
        if value := _setting(secret, annotation, name):
            variables.append(EnvVar(name=name, value=value))
    return tuple(variables)


def _setting(secret: Secret, annotation: str, key: str) -> str:
    """An annotation of the secret, or one of its keys."""
    if found := secret.metadata.annotations.get(f"{_DOMAIN}/{annotation}"):
        return found
    return base64.b64decode(secret.data[key]).decode() if key in secret.data else ""
