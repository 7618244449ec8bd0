"""What a client accepts, and the answer in that form: the object, a Table of it, or its metadata alone."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

import msgspec

from cachecore.errors import ApiError, Invalid
from cachesim.apiserver.http.content import JSON, YAML, MediaType, encode, encode_yaml, parse_media_types
from cachesim.apiserver.http.tables import Printer, TableRequest, partial, partial_list
from cachesim.apiserver.resources import JsonObject, ResourceType

_META_GROUP = "meta.k8s.io"
_PARTIAL = "PartialObjectMetadata"


class Form(enum.Enum):
    OBJECT = "Object"
    TABLE = "Table"
    PARTIAL = "PartialObjectMetadata"


class Negotiated(msgspec.Struct, frozen=True):
    """The first alternative of the Accept header that this server can give."""

    form: Form = Form.OBJECT
    version: str = "v1"
    yaml: bool = False
    # Of metadata alone: who asks for those of a list gets no single one, and the other way round.
    list_form: bool = False

    @property
    def media_type(self) -> str:
        return YAML if self.yaml else JSON

    def encode(self, content: JsonObject) -> bytes:
        return encode_yaml(content) if self.yaml else encode(content)


def negotiate(accept: str) -> Negotiated:
    """Raises a 406 when nothing that is accepted can be given."""
    alternatives = parse_media_types(accept)
    if not alternatives:
        return Negotiated()
    for alternative in alternatives:
        found = _served(alternative)
        if found is not None:
            return found
    raise _not_acceptable(f"only the following media types are accepted: {JSON}, {YAML}")


def _not_acceptable(message: str) -> ApiError:
    return Invalid(message, status_code=406, reason="NotAcceptable")


def _served(alternative: MediaType) -> Negotiated | None:
    if alternative.type in (YAML, "text/yaml", "application/x-yaml"):
        return Negotiated(yaml=True)
    if alternative.type not in (JSON, "application/*", "*/*"):
        return None
    form = alternative.parameter("as")
    if not form:
        return Negotiated()
    version = alternative.parameter("v")
    if alternative.parameter("g") != _META_GROUP or version not in ("v1", "v1beta1"):
        return None
    if form == "Table":
        return Negotiated(Form.TABLE, version)
    if form in (_PARTIAL, f"{_PARTIAL}List"):
        return Negotiated(Form.PARTIAL, version, list_form=form.endswith("List"))
    return None


class Presenter:
    """Gives the objects of one request the form that was negotiated."""

    def __init__(
        self, negotiated: Negotiated, resource_type: ResourceType, query: Mapping[str, str], now: Callable[[], float]
    ) -> None:
        self.negotiated = negotiated
        request = TableRequest(negotiated.version, query.get("includeObject", "Metadata"))
        self._printer = Printer(resource_type, request, now) if negotiated.form is Form.TABLE else None

    def of_list(self, content: JsonObject) -> JsonObject:
        if self._printer is not None:
            return self._printer.of_list(content)
        if not self._partial:
            return content
        if not self.negotiated.list_form:
            raise _not_acceptable(f"you requested {_PARTIAL}, but the requested object is a list ({content['kind']})")
        return partial_list(content, self.negotiated.version)

    def of_object(self, item: JsonObject, *, with_columns: bool = True) -> JsonObject:
        if item.get("kind") == "Status" and item.get("apiVersion") == "v1":
            return item
        if self._printer is not None:
            return self._printer.of_object(item, with_columns=with_columns)
        if not self._partial:
            return item
        if self.negotiated.list_form:
            raise _not_acceptable(
                f"you requested {_PARTIAL}List, but the requested object is not a list ({item.get('kind')})"
            )
        return partial(item, self.negotiated.version)

    @property
    def _partial(self) -> bool:
        return self.negotiated.form is Form.PARTIAL
