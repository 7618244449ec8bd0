"""A machine under a node that pretends to run containers."""

from __future__ import annotations

import dataclasses

from cachecore.ports import Runtime
from cachesim.containers.port import ContainerStart, ImageUnknown, RunningContainer


class PretendedContainer:
    """Ends with its exit code after its seconds, or (None) when it is stopped or killed."""

    def __init__(self, runtime: Runtime, exit_code: int | None, seconds: float) -> None:
        self._ended = runtime.signal()
        self._exit_code = exit_code
        self._seconds = seconds
        self._forced: int | None = None
        self.grace_seconds: float | None = None

    async def wait(self) -> int:
        timeout = self._seconds if self._exit_code is not None else None
        await self._ended.wait(timeout)
        return self._forced if self._forced is not None else self._exit_code or 0

    async def stop(self, grace_seconds: float) -> None:
        self.grace_seconds = grace_seconds
        self.end(143)

    def end(self, code: int) -> None:
        if self._forced is None:
            self._forced = code
        self._ended.set()

    async def log(self, tail_bytes: int = 2048) -> str:
        return "the end of the log"


@dataclasses.dataclass
class PretendedMachine:
    """The `ContainerRuntime`: `exit_codes` by container name (one for each start); others run until stopped."""

    runtime: Runtime
    directories: set[str] = dataclasses.field(default_factory=set)
    exit_codes: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    unknown_images: set[str] = dataclasses.field(default_factory=set)
    seconds: float = 1.0
    started: list[ContainerStart] = dataclasses.field(default_factory=list)
    running: list[PretendedContainer] = dataclasses.field(default_factory=list)

    async def directory_exists(self, path: str) -> bool:
        return path in self.directories

    async def make_directory(self, path: str) -> None:
        self.directories.add(path)

    async def remove_tree(self, path: str) -> None:
        self.directories = {one for one in self.directories if not f"{one}/".startswith(f"{path}/")}

    async def start(self, start: ContainerStart) -> RunningContainer:
        if start.image in self.unknown_images:
            raise ImageUnknown(f"no program for {start.image}")
        codes = self.exit_codes.get(start.name, [])
        container = PretendedContainer(self.runtime, codes.pop(0) if codes else None, self.seconds)
        self.started.append(start)
        self.running.append(container)
        return container

    def kill_all(self) -> None:
        for container in self.running:
            container.end(137)

    @property
    def names(self) -> list[str]:
        return [start.name for start in self.started]
