"""AdmissionReview (admission.k8s.io/v1), read from bytes and answered as bytes."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from cachecore.errors import InvalidInput

_API_VERSION = "admission.k8s.io/v1"
_KIND = "AdmissionReview"
# The API server cuts warnings to these lengths, silently; better to do so where the sentence is known.
_WARNING_CHARACTERS = 256
_WARNINGS = 8


class MalformedReview(InvalidInput):
    """What was posted is no AdmissionReview that can be answered."""


class GroupVersionKind(msgspec.Struct, frozen=True, kw_only=True):
    group: str = ""
    version: str = ""
    kind: str = ""


class UserInfo(msgspec.Struct, frozen=True, kw_only=True):
    username: str = ""


class AdmissionRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the API server is about to do; the objects stay bytes until it is known what they are."""

    uid: str
    kind: GroupVersionKind
    operation: str
    name: str = ""
    namespace: str = ""
    sub_resource: str = ""
    user_info: UserInfo = UserInfo()
    object: msgspec.Raw = msgspec.Raw(b"null")
    old_object: msgspec.Raw = msgspec.Raw(b"null")
    dry_run: bool | None = None


class _Review(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    request: AdmissionRequest
    api_version: str = _API_VERSION
    kind: str = _KIND


_decoder = msgspec.json.Decoder(_Review)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the API server is told. `reason` and `code` are those of a refusal."""

    allowed: bool = True
    message: str = ""
    reason: str = ""
    code: int = 0
    warnings: tuple[str, ...] = ()
    patch: tuple[dict[str, Any], ...] = ()
    audit_annotations: dict[str, str] = {}


def read_review(body: bytes) -> AdmissionRequest:
    """Raises `MalformedReview`, which names the field that is wrong."""
    try:
        review = _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise MalformedReview(f"the body is no AdmissionReview: {error}") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise MalformedReview(f"the body is no AdmissionReview: {error}") from error
    if review.kind != _KIND or review.api_version != _API_VERSION:
        raise MalformedReview(
            f"the body is {review.kind} of {review.api_version}: only {_KIND} of {_API_VERSION} is answered"
        )
    return review.request


def write_answer(request: AdmissionRequest, answer: Answer) -> bytes:
    """The AdmissionReview that goes back."""
    response: dict[str, Any] = {"uid": request.uid, "allowed": answer.allowed}
    if answer.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(msgspec.json.encode(answer.patch)).decode()
    if not answer.allowed:
        response["status"] = {
            "status": "Failure",
            "message": answer.message,
            "reason": answer.reason,
            "code": answer.code,
        }
    if answer.warnings:
        response["warnings"] = [_shortened(warning) for warning in answer.warnings[:_WARNINGS]]
    if answer.audit_annotations:
        response["auditAnnotations"] = answer.audit_annotations
    return msgspec.json.encode({"apiVersion": _API_VERSION, "kind": _KIND, "response": response})


def _shortened(warning: str) -> str:
    return warning if len(warning) <= _WARNING_CHARACTERS else f"{warning[: _WARNING_CHARACTERS - 3]}..."
