"""What a run with real bytes stands on: an event loop, a directory, and S3. All of it is gone when the run is."""

from __future__ import annotations

import asyncio
import os
import pathlib
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar, TypeVarTuple, Unpack

from cacheagent.adapters.object_stores import DriverStores
from cachecore.ports import Credentials, ObjectStore
from cachesim.real.s3 import ADDRESS, BucketServer

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _OneThread(asyncio.SelectorEventLoop):
    """Does what is meant for a thread at once, in its own: one operation runs at a time, and need not wait for another
    thread to wake up.
    """

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # whoever awaits gets it, as from a thread
            done.set_exception(error)
        return done


class Ground:
    """Opened when it is first needed: a cluster that is only described leaves nothing behind."""

    def __init__(self) -> None:
        self._resources = ExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._directory: pathlib.Path | None = None
        self._s3: BucketServer | None = None
        self._stores: DriverStores | None = None

    @property
    def s3(self) -> BucketServer:
        if self._s3 is None:
            self._s3 = self._resources.enter_context(BucketServer())
        return self._s3

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What a coroutine of a production adapter answers, now: virtual time stands still meanwhile."""
        return self._running_loop().run_until_complete(coroutine)

    def open_store(self, uri: str, credentials: Credentials) -> ObjectStore:
        """The production driver for the URI."""
        if self._stores is None:
            self._resources.enter_context(_reached_directly())
            self._stores = DriverStores(self.s3.environment)
            self._resources.callback(lambda stores: self.run(stores.close()), self._stores)
        return self.run(self._stores.open(uri, credentials))

    def new_directory(self, name: str) -> pathlib.Path:
        if self._directory is None:
            made = tempfile.TemporaryDirectory(prefix="localmodel-simulate-")
            self._directory = pathlib.Path(self._resources.enter_context(made))
        directory = self._directory / name
        directory.mkdir()
        return directory

    def when_closing(self, close: Callable[[], object]) -> None:
        self._resources.callback(close)

    def close(self) -> None:
        """Everything, in the opposite order; what can't be closed keeps nothing else open."""
        self._resources.close()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            runner = asyncio.Runner(loop_factory=_OneThread)
            # Not entered: it would give the loop back only to who runs everything through it.
            self._resources.callback(runner.close)
            self._loop = runner.get_loop()
        return self._loop


@contextmanager
def _reached_directly() -> Iterator[None]:
    """S3 on this machine is reached past any proxy of the environment."""
    before = {name: os.environ.get(name) for name in ("no_proxy", "NO_PROXY")}
    for name, value in before.items():
        os.environ[name] = f"{value},{ADDRESS}" if value else ADDRESS
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
