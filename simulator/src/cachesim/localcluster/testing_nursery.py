"""Agents that start in no time, for tests that kill many: each is forked from a process that has loaded everything.

    python -m cachesim.localcluster.testing_nursery PART_BYTES FLAGS...

From there on it is `cacheagent run FLAGS...`, the process that is deployed, but for the size of its parts. For each
line on standard input the last agent's end is awaited and another one starts; the answer is its process id and how the
last one ended.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self
from unittest import mock

from cacheagent import command
from cacheagent.assembly import TransferLimits
from cachecore.adapters.kube import connect
from cachecore.errors import SourceNotFound
from cachecore.ports import Credentials


class Nursery:
    """`with Nursery(...) as nursery:` starts agents, one after the other."""

    def __init__(self, flags: list[str], *, part_bytes: int, environment: dict[str, str], log: Path) -> None:
        self._command = [sys.executable, "-m", "cachesim.localcluster.testing_nursery", str(part_bytes), *flags]
        self._environment = {**os.environ, **environment}
        self._log = log
        self._agent = 0

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._agent:
            self.kill()
        self._process.communicate()

    def start(self) -> None:
        """Raises `AssertionError` when the last agent has ended by itself."""
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("there are pipes")
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().split()
        if len(answer) != 2 or int(answer[1]) not in (0, signal.SIGKILL):
            raise AssertionError(f"the last agent ended by itself: {answer} {self._log.read_text()}")
        self._agent = int(answer[0])

    def kill(self) -> None:
        """kill -9; it has gone when the next one starts."""
        os.kill(self._agent, signal.SIGKILL)


def warm_up(kubeconfig: str) -> None:
    """Once, in the parent: what takes an agent most of a second of its start. No thread of it is left."""
    from botocore.loaders import JSONFileLoader

    from cacheagent.adapters.s3_store import S3Store

    load = JSONFileLoader.load_file
    loaded = functools.cache(lambda path: load(JSONFileLoader(), path))
    JSONFileLoader.load_file = lambda self, path: loaded(path)

    async def speak() -> None:
        client = await connect(kubeconfig, user_agent="nursery")
        await client.close()
        store = S3Store(Credentials(), os.environ)
        try:
            await store.list("s3://warm/up")
        except SourceNotFound:
            await store.close()

    asyncio.run(speak())
    gc.collect()
    gc.freeze()


def main(arguments: list[str]) -> int:
    warm_up(command.make_parser().parse_flags(arguments[1:]).kubeconfig)
    limits = functools.partial(TransferLimits, part_bytes=int(arguments[0]))
    status = child = 0
    while sys.stdin.readline():
        if child:
            status = os.waitpid(child, 0)[1]
        child = os.fork()
        if not child:
            with mock.patch.object(command, "TransferLimits", limits):
                os._exit(command.main(arguments[1:]))
        sys.stdout.write(f"{child} {status}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
