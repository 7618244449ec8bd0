"""A stand-in for KServe's storage-initializer: `storage_initializer SOURCE TARGET [SOURCE TARGET ...]`.

It downloads as KServe's own does, so that the time of an uncached start is a fair one: boto3, a list of the prefix,
then each object by `download_file` in a pool of as many processes as there are objects, four at most. Only s3:// is
served.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import time
from typing import Any
from urllib.parse import urlparse

MOST_PROCESSES = int(os.environ.get("S3_MAX_FILE_CONCURRENCY", "4"))
MOUNTS_VARIABLE = "LOCALMODEL_MOUNTS"
_PARENT_DEATH_SIGNAL = 1

_worker: dict[str, Any] = {}


class DownloadFailed(Exception):
    """One line that says what could not be fetched."""


def client_options() -> dict[str, Any]:
    """The arguments of the boto3 resource, from the variables that KServe sets out of a service account's secret."""
    from botocore import UNSIGNED
    from botocore.client import Config

    config = Config(connect_timeout=15, read_timeout=30, retries={"max_attempts": 3, "mode": "standard"})
    if os.environ.get("awsAnonymousCredential", "").lower() == "true":  # noqa: SIM112 - KServe spells it so
        config = config.merge(Config(signature_version=UNSIGNED))
    if os.environ.get("S3_USER_VIRTUAL_BUCKET", "").lower() == "true":
        config = config.merge(Config(s3={"addressing_style": "virtual"}))
    options: dict[str, Any] = {"config": config}
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        options["endpoint_url"] = endpoint
    if verify := os.environ.get("S3_VERIFY_SSL"):
        options["verify"] = verify.lower() not in ("0", "false")
    return options


def plan(source: str, target: str) -> list[tuple[str, str, str]]:
    """(bucket, key, file) of each object below the source. Raises `DownloadFailed`."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    parsed = urlparse(source)
    if parsed.scheme != "s3":
        raise DownloadFailed(f"cannot fetch {source}: this stand-in serves s3:// alone")
    prefix = parsed.path.lstrip("/")
    tasks = []
    try:
        storage = boto3.resource("s3", **client_options())
        storage.meta.client.head_bucket(Bucket=parsed.netloc)
        for found in storage.Bucket(parsed.netloc).objects.filter(Prefix=prefix):
            if found.key.endswith("/") or found.size == 0:
                continue
            exact = found.key == prefix
            below = found.key.rsplit("/", 1)[-1] if exact else found.key.removeprefix(prefix).lstrip("/")
            tasks.append((parsed.netloc, found.key, os.path.join(target, below)))
            if exact:
                break
    except (BotoCoreError, ClientError, ValueError) as error:
        raise DownloadFailed(f"cannot list {source}: {error}") from error
    if not tasks:
        raise DownloadFailed(f"no model found in {source}")
    return tasks


def prepare_worker() -> None:
    """Once in each process of the pool: a connection of its own, and an end when the container is killed."""
    import boto3

    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    _worker["storage"] = boto3.Session().resource("s3", **client_options())


def download(task: tuple[str, str, str]) -> str:
    """Fetch one object; answer "" or what went wrong."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, key, path = task
    try:
        _worker["storage"].Bucket(bucket).download_file(key, path)
    except (Boto3Error, BotoCoreError, ClientError, OSError) as error:
        return f"{key}: {error}"
    return ""


def fetch(source: str, target: str) -> tuple[int, int]:
    """Download one source; answer (objects, bytes). Raises `DownloadFailed`."""
    tasks = plan(source, target)
    for directory in sorted({os.path.dirname(path) for _, _, path in tasks}):
        os.makedirs(directory, exist_ok=True)
    with multiprocessing.get_context("fork").Pool(min(MOST_PROCESSES, len(tasks)), prepare_worker) as pool:
        failures = [failure for failure in pool.imap_unordered(download, tasks, chunksize=1) if failure]
    if failures:
        raise DownloadFailed(f"cannot fetch {len(failures)} objects of {source}: {'; '.join(failures)}")
    return len(tasks), sum(os.path.getsize(path) for _, _, path in tasks)


def where(directory: str) -> str:
    """Where a mount really is when the machine allows no mount namespaces."""
    for target, _, real in (line.partition("=") for line in os.environ.get(MOUNTS_VARIABLE, "").splitlines()):
        if directory == target or directory.startswith(f"{target}/"):
            return real + directory.removeprefix(target)
    return directory


def main(arguments: list[str]) -> int:
    if len(arguments) < 2 or len(arguments) % 2:
        sys.stderr.write("usage: storage_initializer SOURCE TARGET [SOURCE TARGET ...]\n")
        return 1
    for source, target in zip(arguments[::2], arguments[1::2], strict=True):
        started = time.monotonic()
        try:
            objects, count_bytes = fetch(source, where(target))
        except (DownloadFailed, OSError) as error:
            sys.stderr.write(f"{error}\n")
            return 1
        seconds = time.monotonic() - started
        sys.stdout.write(f"fetched {objects} objects, {count_bytes} bytes of {source} in {seconds:.2f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
