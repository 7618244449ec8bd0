"""Containers as processes of this machine, each with its own mounts where the machine allows that.

They are no sandbox: they share this machine's network, users and files. What they see of a *node* is what is mounted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from pathlib import Path

from cachesim.containers.images import Images, local_images
from cachesim.containers.isolation import Isolation, detect_isolation, launcher_command, os_path
from cachesim.containers.port import ContainerStart, ImageUnknown, RunningContainer, StartRefused

MOUNTS_VARIABLE = "LOCALMODEL_MOUNTS"


class LocalProcesses:
    """The `ContainerRuntime` of a node whose disk is the directory `disk_root`; `state` is a scratch directory."""

    def __init__(
        self, disk_root: Path, state: Path, *, images: Images | None = None, isolation: Isolation | None = None
    ) -> None:
        self._disk_root = disk_root.absolute()
        self._state = state.absolute()
        self._images = images or local_images()
        self._isolation = isolation or detect_isolation()
        self._running: dict[int, LocalContainer] = {}
        self._started = 0
        self._power_cuts = 0

    def real_path(self, path: str) -> Path:
        """Where a path of the node is on this machine."""
        return self._disk_root / path.lstrip("/")

    async def directory_exists(self, path: str) -> bool:
        return self.real_path(path).is_dir()

    async def make_directory(self, path: str) -> None:
        self.real_path(path).mkdir(parents=True, exist_ok=True)

    async def remove_tree(self, path: str) -> None:
        # In a thread: a model in an emptyDir takes a while to unlink.
        await asyncio.to_thread(shutil.rmtree, self.real_path(path), ignore_errors=True)

    async def start(self, start: ContainerStart) -> RunningContainer:
        argv = self._images.argv(start.image, start.command, start.args)
        if not argv:
            raise ImageUnknown(f"no program on this machine stands for the image {start.image!r}; name a command")
        environment = {**os_path(), "HOSTNAME": start.pod_name, **dict(start.env)}
        if shutil.which(argv[0], path=environment["PATH"]) is None:
            raise StartRefused(f"no command {argv[0]!r} on this machine")
        self._started += 1
        scratch = self._state / f"{start.pod_uid}-{start.name}-{self._started}"
        mounts = tuple((str(self.real_path(one.source_path)), one.target, one.read_only) for one in start.mounts)
        if missing := next((source for source, _, _ in mounts if not Path(source).exists()), None):  # noqa: ASYNC240
            raise StartRefused(f"{missing} is not there to be mounted")
        scratch.mkdir(parents=True, exist_ok=True)
        if self._isolation is Isolation.LINKS:
            argv, environment = link_mounts(scratch, mounts, argv, environment)
        command = launcher_command(
            self._isolation,
            root=str(scratch),
            mounts=mounts,
            argv=argv,
            working_dir=start.working_dir,
        )
        log = self.real_path(start.log_path or f"/var/log/pods/{start.pod_uid}/{start.name}.log")
        log.parent.mkdir(parents=True, exist_ok=True)
        # Shielded: a start that is given up halfway would leave a process that nobody knows.
        return await asyncio.shield(self._spawn(command, environment, log, scratch))

    def kill_all(self) -> None:
        self._power_cuts += 1
        for container in list(self._running.values()):
            container.kill()

    async def _spawn(
        self, command: tuple[str, ...], environment: dict[str, str], log: Path, scratch: Path
    ) -> LocalContainer:
        power_cuts = self._power_cuts
        with log.open("ab") as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                raise StartRefused(f"cannot run {sys.executable}: {error}") from error
        container = LocalContainer(process, log, scratch, self._running)
        self._running[process.pid] = container
        if power_cuts != self._power_cuts:
            container.kill()
        return container


class LocalContainer:
    """One process (with its children, a group of their own)."""

    def __init__(
        self, process: asyncio.subprocess.Process, log: Path, scratch: Path, running: dict[int, LocalContainer]
    ) -> None:
        self._process = process
        self._log = log
        self._scratch = scratch
        self._running = running
        self._ended = False

    async def wait(self) -> int:
        code = await self._process.wait()
        self.kill()
        self._ended = True
        self._running.pop(self._process.pid, None)
        shutil.rmtree(self._scratch, ignore_errors=True)
        return code if code >= 0 else 128 - code

    async def stop(self, grace_seconds: float) -> None:
        if grace_seconds > 0 and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._process.wait()), grace_seconds)
        self.kill()
        await self.wait()

    async def log(self, tail_bytes: int = 2048) -> str:
        with self._log.open("rb") as content:
            size_bytes = content.seek(0, os.SEEK_END)
            content.seek(max(0, size_bytes - tail_bytes))
            return content.read().decode(errors="replace")

    def kill(self) -> None:
        """SIGKILL to the whole group: children that outlive their parent too."""
        if self._ended:
            # The number may be another one's by now.
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def link_mounts(
    scratch: Path, mounts: tuple[tuple[str, str, bool], ...], argv: tuple[str, ...], environment: dict[str, str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Without namespaces: each mount is a symlink below `scratch`, and its path is replaced wherever it is named.

    Nothing is read-only then, and a program that has a mount path built in won't find it.
    """
    real: dict[str, str] = {}
    for source, target, _ in sorted(mounts, key=lambda mount: mount[1]):
        link = scratch / target.strip("/").replace("/", "-")
        link.symlink_to(source, target_is_directory=True)
        real[target] = str(link)
    # The longest first: /mnt/models/adapter before /mnt/models.
    for target in sorted(real, key=len, reverse=True):
        named = re.compile(rf"(?<![\w./-]){re.escape(target)}(?![\w.-])")
        path = real[target].replace("\\", r"\\")
        argv = tuple(named.sub(path, argument) for argument in argv)
        environment = {name: value if name == "PATH" else named.sub(path, value) for name, value in environment.items()}
    environment[MOUNTS_VARIABLE] = "\n".join(f"{target}={path}" for target, path in real.items())
    return argv, environment
