"""One service of the cluster as a process: started, watched through /readyz, started again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp

from cachecore.errors import LocalModelError

logger = logging.getLogger(__name__)

_FIRST_RESTART_SECONDS = 0.5
_LONGEST_RESTART_SECONDS = 10.0
# Who lives that long was well: its next restart is quick again.
_HEALTHY_SECONDS = 10.0
_POLL_SECONDS = 0.05
_STOP_GRACE_SECONDS = 5.0
_LAST_LINES = 12
_LAUNCHER = Path(__file__).with_name("launcher.py")


class ServiceFailed(LocalModelError):
    """A service did not become ready, or ended; the message ends with its last words."""


class ServiceProcess:
    """A supervised process, as a Deployment's or a DaemonSet's pod is: what dies is started again after a moment.

    With `died`, that is called instead, with a `ServiceFailed` that ends in its last words. `tls` is what to trust
    where `ready_url` is https.
    """

    def __init__(
        self,
        name: str,
        command: tuple[str, ...],
        *,
        log_path: Path,
        ready_url: str,
        environment: Mapping[str, str],
        inherited: tuple[int, ...] = (),
        tls: ssl.SSLContext | None = None,
        died: Callable[[ServiceFailed], None] | None = None,
    ) -> None:
        self.name = name
        self.log_path = log_path
        self.url = ready_url.rpartition("/")[0]
        self._command = command
        self._ready_url = ready_url
        self._environment = dict(environment)
        self._inherited = inherited
        self._tls = tls
        self._died = died
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._starts = 0
        self._starts_before = 0

    @property
    def pid(self) -> int:
        """The process id of the present incarnation, or of the last one while none runs; 0 before the first."""
        return self._process.pid if self._process is not None else 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def starts(self) -> int:
        """How often it was started: 1 before the first death."""
        return self._starts

    async def start(self) -> None:
        """Start the process and its supervision; see `ready` for when it works."""
        self._starts_before = self._starts
        process = await self._spawn()
        self._supervisor = asyncio.create_task(self._supervise(process), name=f"supervise {self.name}")

    async def ready(self, timeout_seconds: float = 30.0) -> None:
        """Wait until /readyz says yes. Raises `ServiceFailed` with the end of the log when it does not in time."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        timeout = aiohttp.ClientTimeout(total=2.0)
        connector = aiohttp.TCPConnector(ssl=self._tls or True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            while not await self._answers(session):
                # A service that dies twice before it was ready will not live.
                if self._starts - self._starts_before > 2 or asyncio.get_running_loop().time() >= deadline:
                    raise self._failure("did not become ready")
                await asyncio.sleep(_POLL_SECONDS)

    async def kill(self) -> int:
        """kill -9; answers the pid that was killed. The supervisor starts it again by itself."""
        process = self._process
        if process is None or process.returncode is not None:
            return 0
        process.kill()
        await process.wait()
        return process.pid

    async def stop(self, grace_seconds: float = _STOP_GRACE_SECONDS) -> None:
        """SIGTERM, SIGKILL after the grace; it is not started again."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            self._supervisor = None
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(grace_seconds):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def log(self, lines: int = 50) -> str:
        """The end of its log."""
        return tail(self.log_path, lines)

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self.log_path.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid())),
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                pass_fds=self._inherited,
                # A Ctrl-C in the terminal is for the cluster, which then stops its services in order.
                start_new_session=True,
            )
        self._starts += 1
        return self._process

    async def _supervise(self, process: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        pause = _FIRST_RESTART_SECONDS
        while True:
            started = loop.time()
            code = await process.wait()
            if self._died is not None:
                self._died(self._failure(f"ended with {describe_exit(code)}"))
                return
            if loop.time() - started >= _HEALTHY_SECONDS:
                pause = _FIRST_RESTART_SECONDS
            logger.warning("%s ended with %s; it is started again in %.1f s", self.name, describe_exit(code), pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_RESTART_SECONDS)
            process = await self._spawn()

    def _failure(self, what: str) -> ServiceFailed:
        return ServiceFailed(f"{self.name} {what}; the end of {self.log_path}:\n{self.log(_LAST_LINES)}")

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(self._ready_url) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False


def describe_exit(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def tail(path: Path, lines: int) -> str:
    """The last lines of a file; "" when it isn't there."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - lines * 400))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
