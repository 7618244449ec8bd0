"""Errors worded as the real API server words them, and the metav1.Status that carries one over the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from cachecore.errors import (
    AlreadyExists,
    ApiError,
    ApiUnavailable,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    TooManyRequests,
)

if TYPE_CHECKING:
    from cachesim.apiserver.resources import ResourceType


class FieldError(msgspec.Struct, frozen=True):
    """One thing that is wrong with one field. `reason` is the cause's reason: FieldValueRequired, and so on."""

    path: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def required(path: str, detail: str = "") -> FieldError:
    return FieldError(path, "FieldValueRequired", f"Required value: {detail}" if detail else "Required value")


def invalid(path: str, value: Any, detail: str) -> FieldError:
    return FieldError(path, "FieldValueInvalid", f"Invalid value: {render(value)}: {detail}")


def type_invalid(path: str, value: Any, detail: str) -> FieldError:
    return FieldError(path, "FieldValueTypeInvalid", f"Invalid value: {render(value)}: {detail}")


def unsupported(path: str, value: Any, allowed: list[str]) -> FieldError:
    listed = ", ".join(quote(item) for item in allowed)
    return FieldError(path, "FieldValueNotSupported", f"Unsupported value: {render(value)}: supported values: {listed}")


def duplicate(path: str, value: Any) -> FieldError:
    return FieldError(path, "FieldValueDuplicate", f"Duplicate value: {render(value)}")


def too_long(path: str, most: int) -> FieldError:
    return FieldError(path, "FieldValueTooLong", f"Too long: may not be more than {most} {_plural(most, 'byte')}")


def too_many(path: str, actual: int, most: int) -> FieldError:
    return FieldError(
        path, "FieldValueTooMany", f"Too many: {actual}: must have at most {most} {_plural(most, 'item')}"
    )


def forbidden_field(path: str, detail: str) -> FieldError:
    return FieldError(path, "FieldValueForbidden", f"Forbidden: {detail}")


def not_found_field(path: str, value: Any) -> FieldError:
    return FieldError(path, "FieldValueNotFound", f"Not found: {render(value)}")


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"


def quote(text: str) -> str:
    """As Go's %q: JSON's quoting is the same for what names and values hold."""
    return msgspec.json.encode(text).decode()


def render(value: Any) -> str:
    """A value inside an error message, as field.Error prints it."""
    if isinstance(value, str):
        return quote(value)
    return msgspec.json.encode(value).decode()


def with_details(error: ApiError, details: dict[str, Any]) -> ApiError:
    """Attach the Status details; the error classes of cachecore know nothing of them."""
    error.details = details  # type: ignore[attr-defined]
    return error


def resource_not_found() -> ApiError:
    error = NotFound("the server could not find the requested resource")
    return with_details(error, {})


def not_found(resource_type: ResourceType, name: str) -> ApiError:
    error = NotFound(f"{resource_type.qualified_plural} {quote(name)} not found")
    return with_details(error, object_details(resource_type, name))


def already_exists(resource_type: ResourceType, name: str) -> ApiError:
    error = AlreadyExists(f"{resource_type.qualified_plural} {quote(name)} already exists")
    return with_details(error, object_details(resource_type, name))


def conflict(resource_type: ResourceType, name: str, cause: str) -> ApiError:
    message = f"Operation cannot be fulfilled on {resource_type.qualified_plural} {quote(name)}: {cause}"
    return with_details(Conflict(message), object_details(resource_type, name))


def modified(resource_type: ResourceType, name: str) -> ApiError:
    """Another writer was faster than this one's resourceVersion."""
    cause = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource_type, name, cause)


def invalid_object(resource_type: ResourceType, name: str, errors: list[FieldError]) -> ApiError:
    listed = str(errors[0]) if len(errors) == 1 else "[" + ", ".join(str(error) for error in errors) + "]"
    error = Invalid(f"{resource_type.qualified_kind} {quote(name)} is invalid: {listed}")
    details: dict[str, Any] = {"name": name, "group": resource_type.group, "kind": resource_type.kind}
    details["causes"] = [{"reason": each.reason, "message": each.message, "field": each.path} for each in errors]
    return with_details(error, {key: value for key, value in details.items() if value})


def bad_request(message: str) -> ApiError:
    return Invalid(message, status_code=400, reason="BadRequest")


def forbidden(resource_type: ResourceType, name: str, cause: str) -> ApiError:
    error = Forbidden(f"{resource_type.qualified_plural} {quote(name)} is forbidden: {cause}")
    return with_details(error, object_details(resource_type, name))


def too_old(requested: int, oldest: int) -> ApiError:
    return Expired(f"too old resource version: {requested} ({oldest})")


def too_old_list() -> ApiError:
    return Expired("The resourceVersion for the provided list is too old.")


def too_old_watch() -> ApiError:
    return Expired("The resourceVersion for the provided watch is too old.")


def expired_continue(token: str) -> ApiError:
    """`token` goes on with what is there now, for whom an inconsistent list is better than none."""
    error = Expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
        "modified, or deleted between the time the first chunk was returned and now may show up in the list."
    )
    error.continue_token = token  # type: ignore[attr-defined]
    return error


def too_large_revision(requested: int, current: int) -> ApiError:
    message = f"Timeout: Too large resource version: {requested}, current: {current}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    error = ApiUnavailable(message, status_code=504, reason="Timeout")
    return with_details(error, {"causes": causes, "retryAfterSeconds": 1})


def method_not_supported(resource_type: ResourceType, verb: str) -> ApiError:
    error = Invalid(
        f"{verb} is not supported on resources of kind {quote(resource_type.qualified_plural)}",
        status_code=405,
        reason="MethodNotAllowed",
    )
    return with_details(error, {"group": resource_type.group, "kind": resource_type.plural})


def unsupported_media_type(resource_type: ResourceType) -> ApiError:
    strategic = "" if resource_type.custom else "application/strategic-merge-patch+json, "
    supported = f"application/json-patch+json, application/merge-patch+json, {strategic}application/apply-patch+yaml"
    return Invalid(
        f"the body of the request was in an unknown format - accepted media types include: {supported}",
        status_code=415,
        reason="UnsupportedMediaType",
    )


def object_details(resource_type: ResourceType, name: str) -> dict[str, Any]:
    details = {"name": name, "group": resource_type.group, "kind": resource_type.plural}
    return {key: value for key, value in details.items() if value}


def error_details(error: ApiError) -> dict[str, Any]:
    """The Status details of an error, empty for one that did not come from this server."""
    details = getattr(error, "details", None)
    return details if isinstance(details, dict) else {}


def continue_token(error: ApiError) -> str:
    """The token that comes with an expired one; "" with any other error."""
    return str(getattr(error, "continue_token", ""))


def status_body(error: ApiError) -> dict[str, Any]:
    """The metav1.Status that answers a request which failed with `error`."""
    body: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {"continue": continue_token(error)} if continue_token(error) else {},
        "status": "Failure",
        "message": error.message,
    }
    if error.reason:
        body["reason"] = error.reason
    details = dict(error_details(error))
    if isinstance(error, TooManyRequests):
        details["retryAfterSeconds"] = max(1, round(error.retry_after_seconds))
    if details or isinstance(error, NotFound):
        body["details"] = details
    body["code"] = error.status_code or ApiUnavailable.default_status_code
    return body


def error_of(code: int, message: str, reason: str, details: dict[str, Any] | None = None) -> ApiError:
    """The branch of the error tree for a Status that someone else (an admission webhook) wrote."""
    by_code: dict[int, type[ApiError]] = {
        400: Invalid,
        401: Forbidden,
        403: Forbidden,
        404: NotFound,
        410: Expired,
        422: Invalid,
        503: ApiUnavailable,
    }
    if code == 409:
        kind: type[ApiError] = AlreadyExists if reason == "AlreadyExists" else Conflict
    elif code == 429:
        return with_details(TooManyRequests(message), details or {})
    else:
        kind = by_code.get(code, ApiUnavailable if code >= 500 else Invalid)
    return with_details(kind(message, status_code=code, reason=reason), details or {})
