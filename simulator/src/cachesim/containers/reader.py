"""The serving container of the local cluster: reads every byte of its model, says its digest, and waits for SIGTERM.

It imports nothing of localmodel: it starts in milliseconds, and its digest ("blake3 tree digest v1") is computed
independently of the code that wrote the model.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator

from blake3 import blake3

PART_BYTES = 16 * 1024 * 1024
DEFAULT_MODEL_DIRECTORY = "/mnt/models"
MOUNTS_VARIABLE = "LOCALMODEL_MOUNTS"


class EmptyModel(Exception):
    """The directory is not there, or holds no file."""


def model_files(directory: str) -> list[tuple[str, str]]:
    """(path below the directory, real path) of each regular file, sorted by the path's UTF-8 bytes."""
    found = [
        (os.path.relpath(path, directory), path)
        for parent, _, names in os.walk(directory)
        for name in names
        if os.path.isfile(path := os.path.join(parent, name)) and not os.path.islink(path)
    ]
    return sorted(found, key=lambda entry: entry[0].encode())


def file_digest(path: str, buffer: memoryview) -> tuple[str, int]:
    """The digest of one file, from the digests of its parts, and its size."""
    parts = blake3()
    size_bytes = 0
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while filled := _fill(descriptor, buffer):
            parts.update(blake3(buffer[:filled]).digest())
            size_bytes += filled
    finally:
        os.close(descriptor)
    return parts.hexdigest(), size_bytes


def tree_digest(directory: str) -> tuple[str, int, int]:
    """(digest, bytes, files) of the model. Raises `EmptyModel`."""
    files = model_files(directory)
    if not files:
        raise EmptyModel(f"no model in {directory}")
    buffer = memoryview(bytearray(PART_BYTES))
    tree = blake3(f"localmodel-tree/v1 {PART_BYTES}\n".encode())
    total_bytes = 0
    for name, path in files:
        digest, size_bytes = file_digest(path, buffer)
        tree.update(f"{digest} {size_bytes} {name}\n".encode())
        total_bytes += size_bytes
    return f"blake3:{tree.hexdigest()}", total_bytes, len(files)


def where(directory: str, mounts: str) -> str:
    """Where a mount really is when the machine allows no mount namespaces: `mounts` is `/target=/real` by line."""
    for target, _, real in (line.partition("=") for line in mounts.splitlines()):
        if directory == target or directory.startswith(f"{target}/"):
            return real + directory.removeprefix(target)
    return directory


def main(arguments: list[str]) -> int:
    """Reads the model directory that is the last argument (default /mnt/models), and serves it by staying alive."""
    named = [argument.removeprefix("--model_dir=") for argument in arguments if not argument.startswith("--model_name")]
    directory = where((named or [DEFAULT_MODEL_DIRECTORY])[-1], os.environ.get(MOUNTS_VARIABLE, ""))
    # Blocked before the read begins: a stop that comes in its middle is taken up right after it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    started = time.monotonic()
    try:
        digest, total_bytes, files = tree_digest(directory)
    except (EmptyModel, OSError) as error:
        sys.stderr.write(f"reader: {error}\n")
        return 1
    seconds = time.monotonic() - started
    report = {"digest": digest, "bytes": total_bytes, "files": files, "seconds": round(seconds, 4), "time": time.time()}
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    return 0


def _fill(descriptor: int, buffer: memoryview) -> int:
    """Read until the buffer is full or the file ends."""
    filled = 0
    for count in _reads(descriptor, buffer):
        filled += count
    return filled


def _reads(descriptor: int, buffer: memoryview) -> Iterator[int]:
    done = 0
    while done < len(buffer) and (count := os.readv(descriptor, [buffer[done:]])):
        done += count
        yield count


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
