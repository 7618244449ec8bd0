"""What drivers raise, in our words. No text of an answer about credentials is passed on: only its code."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

from cachecore.errors import (
    AccessDenied,
    SourceChanged,
    SourceError,
    SourceNotFound,
    SourceThrottled,
    SourceUnavailable,
)
from cachecore.redaction import redact

_CHANGED = frozenset(("412", "PreconditionFailed", "416", "InvalidRange", "ConditionalRequestConflict"))
_MISSING = frozenset(("404", "410", "NoSuchBucket", "NoSuchKey", "NotFound"))
_DENIED = frozenset(
    (
        "401",
        "403",
        "AccessDenied",
        "AllAccessDisabled",
        "ExpiredToken",
        "Forbidden",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "Unauthorized",
    )
)
_THROTTLED = frozenset(("429", "SlowDown", "RequestLimitExceeded", "TooManyRequests", "Throttling", "ServerBusy"))
_NO_CREDENTIALS = frozenset(("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"))
_UNREACHABLE = frozenset(("ClientConnectorError", "ConnectTimeoutError", "EndpointConnectionError", "Unreachable"))
_NO_ADDRESS = frozenset(("InvalidURL", "ParamValidationError"))
MESSAGE_LENGTH_MAX = 200

# `RateLimit` of IETF's draft, as Hugging Face has it: "resolvers";r=0;t=55
_RESET = re.compile(r"\bt\s*=\s*(\d{1,4})\b")
_XML_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,80})</Code>")


def translate(error: Exception, subject: str) -> SourceError:
    """The `SourceError` that says what went wrong with `subject`, an object or a URI."""
    if isinstance(error, SourceError):
        return error
    for cause in _causes(error):
        if type(cause).__name__ in _NO_CREDENTIALS:
            return AccessDenied(f"{subject}: there are no credentials for it")
        code = _code(cause)
        if code:
            return _of_code(code, subject)
    return _without_an_answer(error, subject)


def refusal(status: int, body: bytes, subject: str, *, retry_after: str = "", rate_limit: str = "") -> SourceError:
    """What a raw answer means: the code in its XML, as S3 and Azure write it, or else its HTTP status.

    `retry_after` and `rate_limit` are the headers of those names; only seconds count.
    """
    found = _XML_CODE.search(body)
    error = _of_code(found[1].decode(errors="replace") if found else str(status), subject)
    if type(error) is SourceUnavailable and str(status) in _THROTTLED | _CHANGED | _MISSING | _DENIED:
        # A code that we don't know, under a status that we do.
        error = _of_code(str(status), subject)
    reset = _RESET.search(rate_limit)
    seconds = retry_after if retry_after.isdigit() else reset[1] if reset else ""
    if isinstance(error, SourceThrottled) and seconds:
        error.retry_after_seconds = float(seconds)
    return error


def _of_code(code: str, subject: str) -> SourceError:
    if code in _CHANGED:
        return SourceChanged(f"{subject} is no longer the version that was listed ({code})")
    if code in _DENIED:
        return AccessDenied(f"{subject}: the credentials are refused ({code})")
    if code == "NoSuchBucket":
        return SourceNotFound(f"{subject}: there is no bucket of that name ({code})")
    if code in _MISSING:
        return SourceNotFound(f"{subject} does not exist ({code})")
    if code in _THROTTLED:
        return SourceThrottled(f"{subject}: the store asks for fewer requests ({code})")
    return SourceUnavailable(f"{subject}: the store answered {code}")


def _without_an_answer(error: Exception, subject: str) -> SourceError:
    """No store has answered anything. Some drivers take all of that for a file that isn't there."""
    for cause in _causes(error):
        names = {kind.__name__ for kind in type(cause).__mro__}
        if names & _UNREACHABLE:
            return SourceUnavailable(f"{subject}: the server can't be reached: {_text(cause)}")
        if names & _NO_ADDRESS or (cause is not error and type(cause) is ValueError):
            return SourceNotFound(f"{subject} is no address: check the host or the bucket's name")
    if isinstance(error, FileNotFoundError):
        return SourceNotFound(f"{subject} does not exist")
    if isinstance(error, PermissionError):
        return AccessDenied(f"{subject}: access is refused")
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return SourceUnavailable(f"{subject}: no answer in time")
    return SourceUnavailable(f"{subject}: {type(error).__name__}: {_text(error)}")


def _text(error: BaseException) -> str:
    """What an error says, on one line, without the signature of the request that it tells of."""
    return " ".join(redact(str(error)).split())[:MESSAGE_LENGTH_MAX]


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        yield current
        current = current.__cause__ or current.__context__


def _code(error: BaseException) -> str:
    """The code of a botocore ClientError, or the status of an HTTP client's error."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", ""))
    status = getattr(error, "status", None) or getattr(response, "status_code", None)
    return str(status) if isinstance(status, int) and status >= 400 else ""
