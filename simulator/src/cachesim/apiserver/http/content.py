"""Bodies and their media types, in and out."""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from cachecore.errors import ApiError, Invalid
from cachesim.apiserver.errors import bad_request
from cachesim.apiserver.http.protobuf import decode_protobuf
from cachesim.apiserver.resources import JsonObject

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
APPLY_PATCH = "application/apply-patch+yaml"
PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    APPLY_PATCH,
)
# etcd's own limit in a real cluster is 1.5 MiB, the API server's limit for a request 3 MiB.
MOST_BODY_BYTES = 3 * 1024 * 1024


class MediaType(msgspec.Struct, frozen=True):
    """One alternative of an Accept header."""

    type: str
    parameters: tuple[tuple[str, str], ...] = ()

    def parameter(self, name: str) -> str:
        return next((value for key, value in self.parameters if key == name), "")


def parse_media_types(header: str) -> list[MediaType]:
    """The alternatives of an Accept header in the order given (Kubernetes' clients send no q-values)."""
    found = []
    for alternative in header.split(","):
        type_, *parameters = (part.strip() for part in alternative.split(";"))
        pairs = tuple(
            (key.strip(), value.strip().strip('"')) for key, _, value in (p.partition("=") for p in parameters)
        )
        if type_:
            found.append(MediaType(type_.lower(), pairs))
    return found


def encode(content: Any) -> bytes:
    return msgspec.json.encode(content)


def encode_yaml(content: Any) -> bytes:
    text: str = yaml.safe_dump(content, default_flow_style=False, sort_keys=False)
    return text.encode()


def decode_object(body: bytes, content_type: str) -> JsonObject:
    """The object that a POST, PUT or DELETE carries. Raises a 400, 413 or 415."""
    decoded = decode(body, content_type)
    if not isinstance(decoded, dict):
        raise bad_request("the body of the request must be an object")
    return decoded


def decode(body: bytes, content_type: str) -> Any:
    """JSON or YAML, by its content type (JSON when there is none)."""
    check_size(len(body))
    media_type = media_type_of(content_type) or JSON
    if media_type == PROTOBUF:
        decoded = decode_protobuf(body)
        if decoded is None:
            raise unsupported_media_type(
                "this server reads this kind as JSON or YAML, not as protobuf: write the object to a file "
                "(kubectl create ... --dry-run=client -o yaml) and use kubectl apply -f"
            )
        return decoded
    if media_type == JSON or media_type.endswith("+json"):
        return decode_json(body)
    if media_type in (YAML, "text/yaml", "application/x-yaml", APPLY_PATCH):
        return decode_yaml(body)
    raise unsupported_media_type(
        f"the body of the request was in an unknown format - accepted media types include: {JSON}, {YAML}"
    )


def decode_json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"the body of the request is not JSON: {error}") from error


def decode_yaml(body: bytes) -> Any:
    """YAML as Kubernetes reads it; JSON is YAML, and far faster to read as JSON."""
    if body.lstrip()[:1] in (b"{", b"["):
        return decode_json(body)
    try:
        return yaml.load(body, Loader=_KubernetesLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise bad_request(f"the body of the request is not YAML: {reason}") from error


def media_type_of(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def check_size(size_bytes: int) -> None:
    if size_bytes > MOST_BODY_BYTES:
        raise Invalid(
            f"Request entity too large: limit is {MOST_BODY_BYTES}", status_code=413, reason="RequestEntityTooLarge"
        )


def unsupported_media_type(message: str) -> ApiError:
    return Invalid(message, status_code=415, reason="UnsupportedMediaType")


class _KubernetesLoader(yaml.SafeLoader):
    """A SafeLoader that leaves times as text, as JSON has none."""


_KubernetesLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
