"""Kubernetes' protobuf, as far as kubectl speaks nothing else: `create` of the simple kinds, `auth`, `drain`.

A body is a magic number and a message Unknown, which names the kind and carries its bytes. Field numbers are those of
Kubernetes' generated.proto files. A kind that isn't here is refused with a 415, and a broken body with a 400.
"""

from __future__ import annotations

import base64
import enum
from collections.abc import Iterator
from typing import Any

import msgspec

from cachesim.apiserver.errors import bad_request
from cachesim.apiserver.resources import JsonObject

MAGIC = b"k8s\x00"


class Form(enum.Enum):
    """How a field's bytes become JSON."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"
    TEXT_MAP = "text map"
    BYTES_MAP = "bytes map"


class Field(msgspec.Struct, frozen=True):
    """`form` is a Form, or the fields of a message."""

    name: str
    form: Any = Form.TEXT
    repeated: bool = False


Message = dict[int, Field]

_METADATA: Message = {
    1: Field("name"),
    2: Field("generateName"),
    3: Field("namespace"),
    5: Field("uid"),
    6: Field("resourceVersion"),
    11: Field("labels", Form.TEXT_MAP),
    12: Field("annotations", Form.TEXT_MAP),
    14: Field("finalizers", repeated=True),
}
_HEAD = Field("metadata", _METADATA)
_NAME: Message = {1: Field("name")}
_RESOURCE_ATTRIBUTES = dict(
    enumerate(map(Field, ("namespace", "verb", "group", "version", "resource", "subresource", "name")), 1)
)
_ACCESS: Message = {
    1: Field("resourceAttributes", _RESOURCE_ATTRIBUTES),
    2: Field("nonResourceAttributes", {1: Field("path"), 2: Field("verb")}),
}
_DELETE_OPTIONS: Message = {
    1: Field("gracePeriodSeconds", Form.NUMBER),
    2: Field("preconditions", {1: Field("uid"), 2: Field("resourceVersion")}),
    4: Field("propagationPolicy"),
    5: Field("dryRun", repeated=True),
}
_UNKNOWN: Message = {1: Field("type", {1: Field("apiVersion"), 2: Field("kind")})}
_KINDS: dict[str, Message] = {
    "Namespace": {1: _HEAD},
    "ConfigMap": {
        1: _HEAD,
        2: Field("data", Form.TEXT_MAP),
        3: Field("binaryData", Form.BYTES_MAP),
        4: Field("immutable", Form.FLAG),
    },
    "Secret": {
        1: _HEAD,
        2: Field("data", Form.BYTES_MAP),
        3: Field("type"),
        4: Field("stringData", Form.TEXT_MAP),
        5: Field("immutable", Form.FLAG),
    },
    "ServiceAccount": {
        1: _HEAD,
        3: Field("imagePullSecrets", _NAME, repeated=True),
        4: Field("automountServiceAccountToken", Form.FLAG),
    },
    "DeleteOptions": _DELETE_OPTIONS,
    "SelfSubjectAccessReview": {1: _HEAD, 2: Field("spec", _ACCESS)},
    "SelfSubjectReview": {1: _HEAD},
    "SelfSubjectRulesReview": {1: _HEAD, 2: Field("spec", {1: Field("namespace")})},
}


def decode_protobuf(body: bytes) -> JsonObject | None:
    """The object, or None when it is of a kind that isn't read here."""
    if not body.startswith(MAGIC):
        raise bad_request("the body of the request is not Kubernetes' protobuf")
    try:
        envelope = body[len(MAGIC) :]
        type_ = _read(envelope, _UNKNOWN).get("type") or {}
        fields = _KINDS.get(type_.get("kind", ""))
        if fields is None:
            return None
        raw = next((value for number, value in _fields(envelope) if number == 2 and isinstance(value, bytes)), b"")
        return {**type_, **_read(raw, fields)}
    except (IndexError, ValueError) as error:
        raise bad_request(f"the body of the request is not Kubernetes' protobuf: {error}") from error


def _read(content: bytes, message: Message) -> JsonObject:
    found: JsonObject = {}
    for number, value in _fields(content):
        field = message.get(number)
        if field is None:
            continue
        if field.form in (Form.TEXT_MAP, Form.BYTES_MAP):
            entry = dict(_fields(_bytes(value)))
            key, item = _bytes(entry.get(1, b"")).decode(), _bytes(entry.get(2, b""))
            text = item.decode() if field.form is Form.TEXT_MAP else base64.b64encode(item).decode()
            found.setdefault(field.name, {})[key] = text
        elif field.repeated:
            found.setdefault(field.name, []).append(_value(value, field.form))
        elif value != b"":
            # Go's generated code writes empty texts too, where JSON leaves them out.
            found[field.name] = _value(value, field.form)
    return found


def _value(value: int | bytes, form: Any) -> Any:
    if form is Form.TEXT:
        return _bytes(value).decode()
    if form is Form.FLAG:
        return bool(value)
    return value if form is Form.NUMBER else _read(_bytes(value), form)


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where bytes were expected")  # noqa: TRY004 - it is the body that is wrong
    return value


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of each field: a number for a varint, bytes for what has a length."""
    position = 0
    while position < len(content):
        tag, position = _varint(content, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, position = _varint(content, position)
            yield number, value
        elif wire_type == 2:
            length, position = _varint(content, position)
            if position + length > len(content):
                raise ValueError("a field is cut short")
            yield number, content[position : position + length]
            position += length
        elif wire_type in (1, 5):
            position += 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"wire type {wire_type} is not known")


def _varint(content: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
