"""`kubectl logs`: the files that the nodes' containers write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from cachecore.errors import ApiError, NotFound
from cachesim.apiserver.builtin import POD
from cachesim.apiserver.errors import bad_request
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.verbs import RawVerbs
from cachesim.node.options import NodeOptions

_BLOCK_BYTES = 64 * 1024
_FOLLOW_SECONDS = 0.2


class LocalPodLogs:
    """The `PodLogs` of a cluster on this machine. `node_root` finds the directory that is a node's `/`, or None."""

    def __init__(self, verbs: RawVerbs, node_root: Callable[[str], Path | None], options: NodeOptions) -> None:
        self._verbs = verbs
        self._node_root = node_root
        self._options = options

    async def read(
        self, pod: JsonObject, container: str, *, follow: bool, tail_lines: int | None, previous: bool
    ) -> AsyncIterator[bytes]:
        path = self._path(pod, container, previous=previous)
        offset = 0
        if tail_lines is not None:
            offset = _offset_of_tail(path, tail_lines)
        while True:
            # Asked before the read: what is written in between is read by the next round.
            running = follow and await self._runs(pod, container)
            with path.open("rb") as file:
                file.seek(offset)
                while block := file.read(_BLOCK_BYTES):
                    offset += len(block)
                    yield block
            if not running:
                return
            await asyncio.sleep(_FOLLOW_SECONDS)

    def _path(self, pod: JsonObject, container: str, *, previous: bool) -> Path:
        metadata = pod["metadata"]
        restarts = _container_status(pod, container).get("restartCount", 0) - int(previous)
        root = self._node_root(pod["spec"].get("nodeName", ""))
        if root is None:
            raise bad_request(f'container "{container}" in pod "{metadata["name"]}" is waiting to start')
        log = self._options.log_path(metadata["namespace"], metadata["name"], metadata["uid"], container, restarts)
        path = root / log.lstrip("/")
        if restarts < 0 or not path.is_file():
            kind = "previous terminated container" if previous else "container"
            raise bad_request(f'{kind} "{container}" in pod "{metadata["name"]}" has no log')
        return path

    async def _runs(self, pod: JsonObject, container: str) -> bool:
        try:
            now = await self._verbs.get(POD, pod["metadata"]["name"], pod["metadata"]["namespace"])
        except NotFound:
            return False
        except ApiError:
            return True
        same = now["metadata"]["uid"] == pod["metadata"]["uid"]
        return same and "running" in _container_status(now, container).get("state", {})


def _container_status(pod: JsonObject, container: str) -> dict[str, Any]:
    status = pod.get("status", {})
    statuses = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]
    return next((each for each in statuses if each["name"] == container), {})


def _offset_of_tail(path: Path, lines: int) -> int:
    content = path.read_bytes()
    if lines <= 0:
        return len(content)
    position = len(content) - content.endswith(b"\n")
    for _ in range(lines):
        position = content.rfind(b"\n", 0, position)
        if position < 0:
            return 0
    return position + 1
