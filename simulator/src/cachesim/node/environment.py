"""The variables of a container: literal values, fields of the pod, keys of secrets; and `$(NAME)` in what uses them."""

from __future__ import annotations

import base64
import re

from cachecore.errors import LocalModelError, NotFound
from cachecore.ports import ClusterClient
from cachecore.resources.core import Container, EnvVar, Pod, Secret, SecretKeySelector

_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class ContainerConfigError(LocalModelError):
    """What a container refers to is not there (yet)."""

    reason = "CreateContainerConfigError"


def expand(text: str, variables: dict[str, str]) -> str:
    """`$(NAME)` by its value; a name that is not known stays as it is, `$$` is a dollar sign."""

    def value(match: re.Match[str]) -> str:
        if match.group() == "$$":
            return "$"
        return variables.get(match.group(1), match.group())

    return _REFERENCE.sub(value, text)


def field_value(pod: Pod, path: str, address: str) -> str:
    """A field of the pod, as the downward API names it. Raises `ContainerConfigError`."""
    fields = {
        "metadata.name": pod.name,
        "metadata.namespace": pod.namespace,
        "metadata.uid": pod.uid,
        "spec.nodeName": pod.spec.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name,
        "status.podIP": address,
        "status.podIPs": address,
        "status.hostIP": address,
        "status.hostIPs": address,
    }
    if path in fields:
        return fields[path]
    if subscript := _SUBSCRIPT.fullmatch(path):
        kept = pod.metadata.labels if subscript.group(1) == "labels" else pod.metadata.annotations
        return kept.get(subscript.group(2), "")
    raise ContainerConfigError(f"unsupported fieldPath: {path}")


async def resolve_environment(
    client: ClusterClient, pod: Pod, container: Container, address: str
) -> tuple[tuple[str, str], ...]:
    """Every variable of the container, in order. Raises `ContainerConfigError`, and `ApiError` of the client."""
    secrets: dict[str, Secret | None] = {}
    variables: dict[str, str] = {}
    for variable in container.env:
        value = await _value(client, pod, variable, variables, secrets, address)
        if value is not None:
            variables[variable.name] = value
    return tuple(variables.items())


async def _value(
    client: ClusterClient,
    pod: Pod,
    variable: EnvVar,
    variables: dict[str, str],
    secrets: dict[str, Secret | None],
    address: str,
) -> str | None:
    source = variable.value_from
    if source is None:
        return expand(variable.value, variables)
    if source.field_ref is not None:
        return field_value(pod, source.field_ref.field_path, address)
    if source.secret_key_ref is not None:
        name = source.secret_key_ref.name
        if name not in secrets:
            secrets[name] = await _secret(client, name, pod.namespace)
        return _key_of(secrets[name], source.secret_key_ref)
    return None


async def _secret(client: ClusterClient, name: str, namespace: str) -> Secret | None:
    try:
        return await client.get(Secret, name, namespace)
    except NotFound:
        return None


def _key_of(secret: Secret | None, selector: SecretKeySelector) -> str | None:
    if secret is not None and selector.key in secret.data:
        return base64.b64decode(secret.data[selector.key]).decode(errors="replace")
    if selector.optional:
        return None
    if secret is None:
        raise ContainerConfigError(f'secret "{selector.name}" not found')
    raise ContainerConfigError(f"couldn't find key {selector.key} in Secret {selector.name}")
