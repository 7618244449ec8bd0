"""What a node asks of the machine that it runs on: its directories, and containers that see some of them.

Paths are absolute paths of the *node*: an adapter knows where that node's disk really is. `LocalProcesses` keeps a disk
in a directory of this machine and runs containers as processes; `SimulatedContainers` does it all on virtual time.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from cachecore.errors import LocalModelError


class ContainerError(LocalModelError):
    """A container could not be started. `reason` is the word that its waiting state carries."""

    reason = "CreateContainerError"


class ImageUnknown(ContainerError):
    """There is no program for the image, and the container names no command of its own."""

    reason = "ErrImagePull"


class StartRefused(ContainerError):
    """The command is not there, or a mount was refused."""

    reason = "RunContainerError"


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """`source` (a directory of the node), or `sub_path` below it, appears at `target` inside the container."""

    source: str
    target: str
    read_only: bool = False
    sub_path: str = ""

    @property
    def source_path(self) -> str:
        """The directory of the node that is mounted."""
        sub_path = self.sub_path.strip("/")
        return f"{self.source.rstrip('/')}/{sub_path}" if sub_path else self.source


class ContainerStart(msgspec.Struct, frozen=True, kw_only=True):
    """One container to start: variables are resolved, volumes are directories of the node that exist.

    `command` empty: the image's own entrypoint, to which `args` are given. `log_path` is a file of the node.
    """

    pod_uid: str
    pod_namespace: str
    pod_name: str
    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    working_dir: str = ""
    mounts: tuple[Mount, ...] = ()
    log_path: str = ""


class RunningContainer(Protocol):
    """A container that was started, and perhaps has ended."""

    async def wait(self) -> int:
        """The exit code, once it has ended: 128 + N when signal N ended it."""
        ...

    async def stop(self, grace_seconds: float) -> None:
        """SIGTERM, then SIGKILL when it still runs after `grace_seconds`. Returns when it has ended."""
        ...

    async def log(self, tail_bytes: int = 2048) -> str:
        """The end of what it has written to its standard output and error."""
        ...


class ContainerRuntime(Protocol):
    """The machine under one node."""

    async def directory_exists(self, path: str) -> bool: ...

    async def make_directory(self, path: str) -> None:
        """With its parents; nothing happens when it is there."""
        ...

    async def remove_tree(self, path: str) -> None:
        """With everything below; nothing happens when it is gone."""
        ...

    async def start(self, start: ContainerStart) -> RunningContainer:
        """Raises `ContainerError`."""
        ...

    def kill_all(self) -> None:
        """The machine loses power: every container ends at once, without a word. Safe in a `finally`."""
        ...
