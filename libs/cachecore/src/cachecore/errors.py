"""Every error that localmodel raises on purpose.

The tree (adapters translate what they catch into it and chain the cause):

    LocalModelError
    ├── InvalidInput            what a person wrote is wrong: configuration, URI, scenario
    ├── TaskCancelled           a joined task had been cancelled
    ├── DeadlineExceeded        what was given a deadline did not end in time, and was cancelled
    ├── ApiError                the API server said no, or did not answer
    │   ├── NotFound            404
    │   ├── AlreadyExists       409, reason AlreadyExists
    │   ├── Conflict            409, reason Conflict: a stale resourceVersion or a lost apply
    │   ├── Expired             410: the resourceVersion is too old; list again
    │   ├── Invalid             422 or 400: the object is not acceptable
    │   ├── Forbidden           401 or 403
    │   ├── TooManyRequests     429, with retry_after_seconds
    │   └── ApiUnavailable      5xx, a timeout, a broken connection; a write may have been applied
    │       └── LeaseLost       not sent: this process may no longer be the leader, who alone writes
    ├── SourceError             the object store
    │   ├── UnsupportedScheme   no driver for the URI's scheme
    │   ├── UnsupportedArchive  KServe would unpack it, and a cache can't
    │   ├── SourceNotFound      no bucket, no prefix, or no object under it
    │   ├── AccessDenied        credentials refused, absent or expired
    │   ├── SourceChanged       an object is no longer the version that was listed
    │   ├── CorruptTransfer     bytes that arrived are not the bytes that were stored
    │   ├── HostileName         an object's name would leave the model's folder
    │   └── SourceUnavailable   5xx, resets, stalls: worth a retry
    │       └── SourceThrottled 503 SlowDown, 429: worth a retry with fewer requests at once
    └── DiskError               the node's disk
        ├── DiskFull            ENOSPC, EDQUOT
        │   └── InodesExhausted ENOSPC though there is space
        ├── DiskReadOnly        EROFS
        ├── DiskVanished        another file system, or none, is mounted where the store was
        ├── PathMissing         ENOENT
        ├── PathExists          EEXIST, ENOTEMPTY
        └── DiskFailure         EIO and the rest
"""

from __future__ import annotations


class LocalModelError(Exception):
    """The root: `str(error)` is one line that a person can act on."""


class InvalidInput(LocalModelError):
    """What a person wrote is wrong; the message says what, where, and what is allowed."""


class TaskCancelled(LocalModelError):
    """The task that was joined had been cancelled."""


class DeadlineExceeded(LocalModelError):
    """What was given a deadline did not end in time, and was cancelled."""


class ApiError(LocalModelError):
    """The API server refused a request, or did not answer it.

    `status_code` is the HTTP code (0 when there was no answer), `reason` the Status reason; a retry that comes sooner
    than `retry_after_seconds` is unwelcome.
    """

    default_status_code = 500
    default_reason = "InternalError"
    retry_after_seconds: float = 0.0

    def __init__(self, message: str, *, status_code: int | None = None, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = self.default_status_code if status_code is None else status_code
        self.reason = self.default_reason if reason is None else reason


class NotFound(ApiError):
    default_status_code = 404
    default_reason = "NotFound"


class AlreadyExists(ApiError):
    default_status_code = 409
    default_reason = "AlreadyExists"


class Conflict(ApiError):
    default_status_code = 409
    default_reason = "Conflict"


class Expired(ApiError):
    default_status_code = 410
    default_reason = "Expired"


class Invalid(ApiError):
    default_status_code = 422
    default_reason = "Invalid"


class Forbidden(ApiError):
    default_status_code = 403
    default_reason = "Forbidden"


class TooManyRequests(ApiError):
    default_status_code = 429
    default_reason = "TooManyRequests"

    def __init__(self, message: str, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ApiUnavailable(ApiError):
    default_status_code = 503
    default_reason = "ServiceUnavailable"


class LeaseLost(ApiUnavailable):
    """A write that was not sent. To its caller it is as if the API server were away: later, or another process, may."""

    default_status_code = 0
    default_reason = "LeaseLost"


class SourceError(LocalModelError):
    """The object store. `reason` is the CamelCase word that a status carries."""

    reason = "SourceError"


class UnsupportedScheme(SourceError):
    reason = "UnsupportedScheme"


class UnsupportedArchive(SourceError):
    reason = "UnsupportedArchive"


class SourceNotFound(SourceError):
    reason = "SourceNotFound"


class AccessDenied(SourceError):
    reason = "AccessDenied"


class SourceChanged(SourceError):
    reason = "SourceChanged"


class CorruptTransfer(SourceError):
    reason = "CorruptTransfer"


class HostileName(SourceError):
    reason = "HostileName"


class SourceUnavailable(SourceError):
    reason = "SourceUnavailable"


class SourceThrottled(SourceUnavailable):
    """The store asks for fewer requests; one that comes sooner than `retry_after_seconds` is unwelcome."""

    reason = "SourceThrottled"

    def __init__(self, message: str, *, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class DiskError(LocalModelError):
    """The node's disk. `reason` is the CamelCase word that a status carries."""

    reason = "DiskError"


class DiskFull(DiskError):
    reason = "DiskFull"


class InodesExhausted(DiskFull):
    reason = "InodesExhausted"


class DiskVanished(DiskError):
    reason = "DiskVanished"


class DiskReadOnly(DiskError):
    reason = "DiskReadOnly"


class PathMissing(DiskError):
    reason = "PathMissing"


class PathExists(DiskError):
    reason = "PathExists"


class DiskFailure(DiskError):
    reason = "DiskFailure"
