"""What tests need to call kubectl: the program in a world of its own, and a server for it to speak to."""

from __future__ import annotations

import asyncio
import datetime
import os
import subprocess
import threading
from pathlib import Path

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachesim.apiserver import ApiServer
from cachesim.apiserver.http import HttpFront
from cachesim.host.certificates import make_certificate
from cachesim.host.kubeconfig import write_kubeconfig

TOKEN = "of-this-test-run"


class Kubectl:
    """Calls kubectl with a kubeconfig and a cache directory of its own."""

    def __init__(self, program: str, home: Path, kubeconfig: Path) -> None:
        self._program = program
        self._environment = {
            "HOME": str(home),
            "KUBECONFIG": str(kubeconfig),
            "PATH": os.environ["PATH"],
            "KUBECTL_EXTERNAL_DIFF": "diff -u",
        }

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, *arguments],
            env=self._environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """What kubectl prints; fails with what it complains of when it fails."""
        ended = self.run(*arguments, stdin=stdin)
        if ended.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {ended.stderr}")
        return ended.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self._program, *arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


class LiveServer:
    """The server on an event loop of its own, in a thread."""

    def __init__(self, directory: Path) -> None:
        self.kubeconfig = directory / "kubeconfig"
        self._directory = directory
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="live-server")

    def start(self) -> None:
        self._thread.start()
        if not self._ready.wait(30):
            raise AssertionError("the server did not start")

    def stop(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = ApiServer(AsyncioRuntime())
        server.spawn_controllers()
        now = datetime.datetime.now(datetime.UTC)
        certificate = make_certificate(self._directory / "certificates", ("127.0.0.1",), now=now)
        tls = (certificate.certificate, certificate.private_key)
        async with HttpFront(server, users_by_token={TOKEN: "admin"}, tls=tls) as front:
            write_kubeconfig(self.kubeconfig, url=front.url, authority=certificate.authority, user="admin", token=TOKEN)
            self._ready.set()
            await self._ended.wait()
