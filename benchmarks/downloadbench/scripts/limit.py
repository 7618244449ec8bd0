"""The machine's limit, as far as Python reaches it: threads that read ranges into aligned buffers and write them with
O_DIRECT into preallocated files. Nothing is verified, recorded, synced or published.

python -m downloadbench.scripts.limit ENDPOINT BUCKET PREFIX TARGET
"""

from __future__ import annotations

import http.client
import mmap
import os
import queue
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from xml.etree import ElementTree

from downloadbench.stopwatch import Stopwatch

THREADS = 8
PART_BYTES = 16 * 2**20
BUFFER_BYTES = 2 * 2**20
BLOCK_BYTES = 4096
DIRECT_BYTES_MIN = 2**20
ATTEMPTS = 10
_SPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"

Part = tuple[str, str, int, int, int]


def connect(endpoint: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urllib.parse.urlsplit(endpoint).netloc)


def answered(connection: http.client.HTTPConnection, target: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """The first answer that is no refusal. Raises `ConnectionError`."""
    for attempt in range(ATTEMPTS):
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        if response.status < 300:
            return response
        response.read()
        time.sleep(0.02 * 2**attempt)
    raise ConnectionError(f"{target} is refused again and again")


def listed(endpoint: str, bucket: str, prefix: str) -> Iterator[tuple[str, int]]:
    connection = connect(endpoint)
    token = ""
    while True:
        query = {"list-type": "2", "prefix": prefix}
        if token:
            query["continuation-token"] = token
        response = answered(connection, f"/{bucket}?{urllib.parse.urlencode(query)}", {})
        page = ElementTree.fromstring(response.read())  # noqa: S314 - it is our own server that writes it
        for item in page.iter(f"{_SPACE}Contents"):
            yield item.findtext(f"{_SPACE}Key", ""), int(item.findtext(f"{_SPACE}Size", "0"))
        token = page.findtext(f"{_SPACE}NextContinuationToken", "")
        if not token:
            return


def prepared(endpoint: str, bucket: str, prefix: str, target: str) -> Iterator[Part]:
    """The parts of all files, the biggest files first; each file is made at its full size."""
    for key, size_bytes in sorted(listed(endpoint, bucket, prefix), key=lambda item: -item[1]):
        path = os.path.join(target, key.removeprefix(prefix))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        if size_bytes:
            os.posix_fallocate(descriptor, 0, size_bytes)
        os.close(descriptor)
        for offset in range(0, size_bytes, PART_BYTES):
            yield f"/{bucket}/{urllib.parse.quote(key)}", path, offset, min(PART_BYTES, size_bytes - offset), size_bytes


def move(connection: http.client.HTTPConnection, part: Part, buffer: memoryview) -> None:
    target, path, offset, length, size_bytes = part
    headers = {} if length == size_bytes else {"Range": f"bytes={offset}-{offset + length - 1}"}
    response = answered(connection, target, headers)
    descriptor = os.open(path, os.O_WRONLY)
    direct = os.open(path, os.O_WRONLY | os.O_DIRECT) if length >= DIRECT_BYTES_MIN else descriptor
    try:
        while length:
            filled, wanted = 0, min(len(buffer), length)
            while filled < wanted:
                count = response.readinto(buffer[filled:wanted])
                if not count:
                    raise ConnectionError(f"{target} ended early")
                filled += count
            aligned = filled // BLOCK_BYTES * BLOCK_BYTES
            os.pwrite(direct, buffer[:aligned], offset)
            os.pwrite(descriptor, buffer[aligned:filled], offset + aligned)
            offset, length = offset + filled, length - filled
        response.read()
    finally:
        os.close(descriptor)
        if direct != descriptor:
            os.close(direct)


def main(endpoint: str, bucket: str, prefix: str, target: str) -> int:
    watch = Stopwatch()
    parts: queue.SimpleQueue[Part] = queue.SimpleQueue()
    for part in prepared(endpoint, bucket, prefix, target):
        parts.put(part)
    errors: list[Exception] = []

    def work() -> None:
        connection = connect(endpoint)
        with memoryview(mmap.mmap(-1, BUFFER_BYTES)) as buffer:
            try:
                while True:
                    move(connection, parts.get_nowait(), buffer)
            except queue.Empty:
                return
            except (OSError, http.client.HTTPException) as error:
                errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    watch.report()
    for error in errors:
        sys.stderr.write(f"{error}\n")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]))
