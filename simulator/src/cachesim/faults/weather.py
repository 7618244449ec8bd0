"""The weather of each port: what the conditions of this moment do to a call."""

from __future__ import annotations

from cachecore.errors import (
    AccessDenied,
    ApiError,
    ApiUnavailable,
    Conflict,
    CorruptTransfer,
    DiskError,
    DiskFailure,
    DiskReadOnly,
    SourceError,
    SourceThrottled,
    SourceUnavailable,
    TooManyRequests,
)
from cachesim.faults.conditions import Conditions
from cachesim.faults.sites import WRITES
from cachesim.runtime import SimpyRuntime

REFUSED_SECONDS = 0.05
TIMEOUT_SECONDS = 10.0
STRUCK_CALLS = 3


class ApiWeather:
    """For the API server's clients. `node` is where the process runs, "" for those that no partition cuts off."""

    def __init__(self, runtime: SimpyRuntime, conditions: Conditions, node: str) -> None:
        self._runtime = runtime
        self._conditions = conditions
        self._node = node

    def calm(self) -> bool:
        return not self._conditions

    async def before(self, verb: str) -> None:
        if self._conditions.has("api-down"):
            await self._runtime.sleep(REFUSED_SECONDS)
            raise ApiUnavailable("connection refused", status_code=0)
        if self._node and self._conditions.has("partition", self._node):
            await self._runtime.sleep(TIMEOUT_SECONDS)
            raise ApiUnavailable("the request timed out", status_code=0)
        if self._conditions.turn("api-errors", STRUCK_CALLS):
            raise ApiUnavailable("internal error", status_code=500, reason="InternalError")

    def after(self, verb: str) -> None:
        if verb in WRITES and self._conditions.turn("answers-lost", STRUCK_CALLS):
            raise ApiUnavailable("the request timed out", status_code=0)

    def holds_watches(self) -> bool:
        """Whether nothing is delivered at this moment."""
        return self._conditions.has("watches-late") or bool(
            self._node and self._conditions.has("partition", self._node)
        )

    def drops_event(self) -> bool:
        return self._conditions.turn("events-dropped", 2)

    def repeats_event(self) -> bool:
        return self._conditions.has("events-repeated")


class DiskWeather:
    """For one node's disk."""

    def __init__(self, conditions: Conditions, node: str) -> None:
        self._conditions = conditions
        self._node = node

    def calm(self) -> bool:
        return not self._conditions

    async def before(self, verb: str) -> None:
        if self._conditions.has("disk-failing", self._node):
            raise DiskFailure("input/output error")
        if verb in WRITES and self._conditions.has("disk-read-only", self._node):
            raise DiskReadOnly("the file system is read-only")

    def after(self, verb: str) -> None:
        return


class StorageWeather:
    """For the object store: its listings and its parts."""

    def __init__(self, runtime: SimpyRuntime, conditions: Conditions) -> None:
        self._runtime = runtime
        self._conditions = conditions

    def calm(self) -> bool:
        return not self._conditions

    async def before(self, verb: str) -> None:
        if self._conditions.has("storage-down"):
            await self._runtime.sleep(REFUSED_SECONDS)
            raise SourceUnavailable("503 Service Unavailable")
        if self._conditions.has("credentials-expired"):
            raise AccessDenied("403 ExpiredToken: the provided token has expired")
        if self._conditions.turn("storage-throttled", 2):
            raise SourceThrottled("503 SlowDown: please reduce your request rate", retry_after_seconds=1.0)
        if verb == "move" and self._conditions.turn("storage-truncated", 2):
            await self._runtime.sleep(REFUSED_SECONDS)
            raise SourceUnavailable("the reply ended early")

    def after(self, verb: str) -> None:
        if verb == "move" and self._conditions.turn("storage-corrupt", 2):
            raise CorruptTransfer("the bytes that came are not those that were stored")


def api_failure(what: str) -> ApiError:
    match what:
        case "conflict":
            return Conflict("the object has been modified; please apply your changes to the latest version")
        case "too-many-requests":
            return TooManyRequests("too many requests, please try again later", retry_after_seconds=2.0)
        case "answer-lost":
            return ApiUnavailable("the request timed out", status_code=0)
        case _:
            return ApiUnavailable("internal error", status_code=500, reason="InternalError")


def disk_failure(what: str) -> DiskError:
    return DiskFailure("input/output error")


def source_failure(what: str) -> SourceError:
    if what == "too-many-requests":
        return SourceThrottled("503 SlowDown: please reduce your request rate", retry_after_seconds=2.0)
    return SourceUnavailable("503 Service Unavailable")
