"""One real node: a process in namespaces of its own, below which everything of it runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from cachesim.host import launcher
from realcluster.files import NodeFiles
from realcluster.network import CommandFailed, plug_in, run

_INIT = Path(__file__).with_name("node_init.py")
_ANSWER_SECONDS = 60.0
PROGRAMS = ("containerd", "kubelet", "kube-proxy")


class RealNode:
    """Its power is `power_on` and `power_off`; what is on its disk stays."""

    def __init__(self, files: NodeFiles, settings: dict[str, Any]) -> None:
        self.name = files.name
        self.files = files
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Of the process whose namespaces the node lives in, as seen from outside."""
        assert self._process is not None, "the node is off"
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0])

    async def power_on(self) -> None:
        """Its programs have been started when this returns; Ready it is a moment later."""
        configuration = self.files.directory / "init.json"
        configuration.write_text(json.dumps(self._settings))
        with (self.files.directory / "init.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", launcher.__file__, str(os.getpid())),
                *("unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"),
                *("--propagation", "private", sys.executable, "-I", "-S", str(_INIT), str(configuration)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        await self._hear("made")
        await plug_in(self.files.number, self._process.pid)
        await self._tell("network")
        for program in PROGRAMS:
            await self._tell(f"start {program}")

    async def power_off(self) -> None:
        """At once, without a word to anybody."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def run(self, *command: str) -> str:
        """Run a program on the node, as root; what it says. Raises `CommandFailed`."""
        return await run("nsenter", "--target", str(self.pid), "--all", "--", *command)

    async def _tell(self, line: str) -> None:
        assert self._process is not None, "the node is off"
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()
        await self._hear("done")

    async def _hear(self, wanted: str) -> None:
        assert self._process is not None, "the node is off"
        assert self._process.stdout is not None
        async with asyncio.timeout(_ANSWER_SECONDS):
            said = (await self._process.stdout.readline()).decode().strip()
        if said != wanted:
            last = (self.files.directory / "init.log").read_text()[-2000:]
            raise CommandFailed(f"node {self.name}: {said or last or 'it ended without a word'}")
