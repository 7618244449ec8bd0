"""A watch over HTTP: one answer without end, one JSON event a line."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Generic, TypeVar

import aiohttp
import msgspec

from cachecore.adapters.kube_errors import Status, error_of_status
from cachecore.errors import ApiError, ApiUnavailable
from cachecore.ports.cluster import WatchEvent, WatchEventType
from cachecore.resources.meta import Resource, only_revision

R = TypeVar("R", bound=Resource)


class _Line(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _BookmarkMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""


class _Bookmark(msgspec.Struct, frozen=True):
    metadata: _BookmarkMeta = _BookmarkMeta()


class KubeWatch(Generic[R]):
    """Decodes line by line; a line may be of any length."""

    def __init__(self, kind: type[R], response: aiohttp.ClientResponse) -> None:
        self._kind = kind
        self._response = response
        self._decoder = msgspec.json.Decoder(kind)
        self._lines = lines_of(response.content.iter_any())

    async def receive(self) -> WatchEvent[R] | None:
        try:
            async for line in self._lines:
                return self._event(line)
        except TimeoutError:
            # Nothing for a long time: the connection may be dead. The informer resumes where this one stopped.
            await self.close()
        except (aiohttp.ClientError, OSError) as error:
            await self.close()
            raise ApiUnavailable(
                f"the watch of {self._kind.resource_type.plural} broke: {str(error) or type(error).__name__}",
                status_code=0,
            ) from error
        return None

    async def close(self) -> None:
        # Not release(): that would read the rest of an answer that has no end.
        self._response.close()
        with contextlib.suppress(RuntimeError):
            await self._lines.aclose()

    def _event(self, line: bytes) -> WatchEvent[R]:
        try:
            event = msgspec.json.decode(line, type=_Line)
            if event.type == "ERROR":
                status = msgspec.json.decode(event.object, type=Status)
                raise error_of_status(status, status.code, f"watch of {self._kind.resource_type.plural}")
            if event.type == "BOOKMARK":
                version = msgspec.json.decode(event.object, type=_Bookmark).metadata.resource_version
                return WatchEvent(type=WatchEventType.BOOKMARK, resource=only_revision(self._kind, version))
            return WatchEvent(type=WatchEventType(event.type), resource=self._decoder.decode(event.object))
        except (msgspec.MsgspecError, ValueError) as error:
            plural = self._kind.resource_type.plural
            raise ApiError(f"watch of {plural}: cannot read an event: {error}", reason="InvalidAnswer") from error


async def lines_of(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Complete lines, without their ends and without empty ones; what follows the last end is dropped.

    aiohttp's own readline refuses lines beyond its buffer. The pieces of a long line are joined once, at its end.
    """
    pieces: list[bytes] = []
    async for chunk in chunks:
        *complete, rest = chunk.split(b"\n")
        for end in complete:
            line = b"".join((*pieces, end))
            pieces.clear()
            if line.strip():
                yield line
        if rest:
            pieces.append(rest)
