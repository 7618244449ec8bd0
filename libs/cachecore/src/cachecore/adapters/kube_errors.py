"""The API server's refusals, as the `ApiError` tree."""

from __future__ import annotations

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

# Of an answer that is no Status (a proxy's HTML page), this much is quoted.
_QUOTED_CHARACTERS = 200

_BY_STATUS_CODE: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    410: Expired,
    413: Invalid,
    422: Invalid,
}


class _StatusDetails(msgspec.Struct, frozen=True, rename="camel"):
    retry_after_seconds: float = 0.0


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """metav1.Status, as far as it tells errors apart."""

    code: int = 0
    reason: str = ""
    message: str = ""
    details: _StatusDetails | None = None


def error_of_answer(request: str, status_code: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """The error that an answer means. `request` (verb and path) is named when the answer doesn't say what was wrong."""
    try:
        status = msgspec.json.decode(body, type=Status)
    except msgspec.MsgspecError:
        text = " ".join(body[:_QUOTED_CHARACTERS].decode(errors="replace").split())
        status = Status(message=f"{request}: {status_code} {text}".rstrip())
    return error_of_status(status, status_code, request, retry_after)


def error_of_status(status: Status, status_code: int, request: str, retry_after: str | None = None) -> ApiError:
    """The error that a Status means: of an answer, or of an ERROR event in a watch."""
    message = status.message or f"{request}: {status_code} {status.reason}".rstrip()
    hinted_seconds = _seconds(retry_after) or (
        status.details.retry_after_seconds if status.details is not None else 0.0
    )
    if status_code == 429:
        return TooManyRequests(message, retry_after_seconds=hinted_seconds or 1.0)
    if status_code == 409:
        return AlreadyExists(message) if status.reason == "AlreadyExists" else Conflict(message)
    if status_code >= 500:
        unavailable = ApiUnavailable(message, status_code=status_code, reason=status.reason or None)
        unavailable.retry_after_seconds = hinted_seconds
        return unavailable
    kind = _BY_STATUS_CODE.get(status_code, ApiError)
    return kind(message, status_code=status_code, reason=status.reason or None)


def _seconds(retry_after: str | None) -> float:
    """Retry-After in its one form that API servers send, a number; a date counts as absent."""
    try:
        return max(0.0, float(retry_after)) if retry_after else 0.0
    except ValueError:
        return 0.0
