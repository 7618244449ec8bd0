"""What every Kubernetes object has: its type, its metadata, and conversion to and from the API's JSON.

Values are frozen; a changed copy comes from `msgspec.structs.replace`. Fields left at their default are not encoded, as
the API server's own `omitempty` does.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar, TypeAlias, TypeVar

import msgspec

JsonObject: TypeAlias = dict[str, Any]


class ResourceType(msgspec.Struct, frozen=True, kw_only=True):
    """Where a kind lives in the API: `group` is "" for the core group."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path: of the collection, of one object, or of its subresource."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return "".join(
            (root, scope, f"/{self.plural}", f"/{name}" if name else "", f"/{subresource}" if subresource else "")
        )


class Value(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The base of everything inside an object: camelCase in JSON, snake_case here."""


class OwnerReference(Value, frozen=True, kw_only=True):
    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Value, frozen=True, kw_only=True):
    """metav1.ObjectMeta, less managedFields. Timestamps are RFC 3339 strings, as the API sends them."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()


class Resource(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The base of the kinds. `apiVersion` and `kind` come from `resource_type`, never from the instance."""

    resource_type: ClassVar[ResourceType]

    metadata: ObjectMeta = ObjectMeta()

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    @property
    def uid(self) -> str:
        return self.metadata.uid

    @property
    def being_deleted(self) -> bool:
        return self.metadata.deletion_timestamp is not None


class Condition(Value, frozen=True, kw_only=True):
    """metav1.Condition. `status` is True, False or Unknown."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
    observed_generation: int = 0


R = TypeVar("R", bound=Resource)


def decode(kind: type[R], content: bytes) -> R:
    """One object of that kind from the API's JSON. Raises msgspec.ValidationError, naming the field."""
    return msgspec.json.decode(content, type=kind)


def from_object(kind: type[R], content: JsonObject) -> R:
    """One object of that kind from parsed JSON. Raises msgspec.ValidationError, naming the field."""
    return msgspec.convert(content, type=kind)


def to_object(resource: Resource) -> JsonObject:
    """The JSON of the object, with its apiVersion and kind."""
    resource_type = resource.resource_type
    content: JsonObject = {"apiVersion": resource_type.api_version, "kind": resource_type.kind}
    content.update(msgspec.to_builtins(resource))
    return content


def encode(resource: Resource) -> bytes:
    """`to_object`, as the bytes of a request."""
    return msgspec.json.encode(to_object(resource))


def only_revision(kind: type[R], resource_version: str) -> R:
    """What a BOOKMARK carries: a value of that kind of which nothing but the resourceVersion may be read."""
    return kind(metadata=ObjectMeta(resource_version=resource_version), **dict.fromkeys(_required_fields(kind)))


@functools.lru_cache(maxsize=64)
def _required_fields(kind: type[Resource]) -> tuple[str, ...]:
    """Asked for once for each kind: the answer takes as long as decoding an object."""
    return tuple(field.name for field in msgspec.structs.fields(kind) if field.required)


def owner_reference(owner: Resource, *, controller: bool = True) -> OwnerReference:
    """The reference that makes the garbage collector take a dependent with `owner`."""
    return OwnerReference(
        api_version=owner.resource_type.api_version,
        kind=owner.resource_type.kind,
        name=owner.name,
        uid=owner.uid,
        controller=controller or None,
        block_owner_deletion=controller or None,
    )
