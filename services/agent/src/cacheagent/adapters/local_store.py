"""`file://`: models on a file system that is mounted into the agent, below one directory that its operator has named.

Without that limit a cache could name the agent's own service account token, and a pod could read it as a model.
"""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeAlias

from cacheagent.adapters.source_errors import translate
from cacheagent.adapters.threads import in_thread
from cachecore.errors import AccessDenied, HostileName, SourceChanged, SourceNotFound, SourceUnavailable
from cachecore.ports import Checksum, ObjectInfo, Part

Objects: TypeAlias = list[ObjectInfo]


class LocalStore:
    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root) if root else ""
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="file-source")

    async def list(self, uri: str) -> Objects:
        try:
            return await in_thread(self._threads, self._list, uri)
        except OSError as error:
            raise translate(error, uri) from error

    async def read(self, source: ObjectInfo, offset_bytes: int, length_bytes: int) -> bytes:
        try:
            return await in_thread(self._threads, _read, source, offset_bytes, length_bytes)
        except OSError as error:
            raise translate(error, source.location) from error

    @contextmanager
    def open_part(self, part: Part) -> Iterator[_FileStream]:
        """For threads: the part is not held in memory whole."""
        try:
            with _opened(part.source) as file:
                yield _FileStream(file, part)
        except OSError as error:
            raise translate(error, part.source.location) from error

    async def checksum(self, source: ObjectInfo) -> Checksum | None:
        return source.checksum

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _list(self, uri: str) -> Objects:
        parsed = urllib.parse.urlsplit(uri)
        path = os.path.realpath(urllib.parse.unquote(parsed.path))
        if not self._root:
            raise AccessDenied(
                f"{uri}: file:// is off; the agent's flag --file-sources names the directory that is allowed"
            )
        if parsed.netloc not in ("", "localhost") or os.path.commonpath((path, self._root)) != self._root:
            raise AccessDenied(f"{uri} is not below {self._root}, the directory that --file-sources names")
        if os.path.isfile(path):
            return [_info(path, os.path.basename(path))]
        found = []
        for folder, folders, files in os.walk(path):
            folders.sort()
            for name in [*files, *folders]:
                if os.path.islink(os.path.join(folder, name)):
                    raise HostileName(f"{uri}: {os.path.relpath(os.path.join(folder, name), path)} is a symlink")
            found += [
                _info(os.path.join(folder, name), os.path.relpath(os.path.join(folder, name), path)) for name in files
            ]
        if not found:
            raise SourceNotFound(f"there is no file below {uri}")
        return sorted(found, key=lambda item: item.path)


def _info(path: str, relative: str) -> ObjectInfo:
    return ObjectInfo(path=relative, location=path, size_bytes=os.lstat(path).st_size, etag=_etag(os.lstat(path)))


def _etag(status: os.stat_result) -> str:
    return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"


@contextmanager
def _opened(source: ObjectInfo) -> Iterator[int]:
    """The descriptor of the version that was listed."""
    file = os.open(source.location, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        if _etag(os.fstat(file)) != source.etag:
            raise SourceChanged(f"{source.location} has changed since it was listed")
        yield file
    finally:
        os.close(file)


class _FileStream:
    """The bytes of one part of a file."""

    told = None

    def __init__(self, file: int, part: Part) -> None:
        self._file = file
        self._source = part.source
        self._position = part.offset_bytes
        self._left_bytes = part.length_bytes

    def read_into(self, buffer: memoryview) -> int:
        wanted = min(len(buffer), self._left_bytes)
        filled = 0
        while filled < wanted:
            count = os.preadv(self._file, [buffer[filled:wanted]], self._position)
            if not count:
                raise SourceUnavailable(f"{self._source.location} ended {self._left_bytes - filled} bytes too early")
            filled += count
            self._position += count
        self._left_bytes -= filled
        if not self._left_bytes and _etag(os.fstat(self._file)) != self._source.etag:
            raise SourceChanged(f"{self._source.location} has changed while it was read")
        return filled


def _read(source: ObjectInfo, offset_bytes: int, length_bytes: int) -> bytes:
    part = Part(source=source, offset_bytes=offset_bytes, length_bytes=length_bytes, path="")
    content = bytearray(length_bytes)
    with _opened(source) as file:
        _FileStream(file, part).read_into(memoryview(content))
    return bytes(content)
