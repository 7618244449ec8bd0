"""When containers of a node began and ended, as containerd tells: to the nanosecond, where a pod has whole seconds."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
from typing import NamedTuple, Self

from realcluster.node import RealNode

_WANTED = {"/tasks/start": "started", "/tasks/exit": "ended"}


class Moment(NamedTuple):
    """Of a container: its first process `started`, or `ended`."""

    container_id: str
    what: str


class TaskWatch:
    """`async with TaskWatch(node) as tasks:` it hears of each container that begins or ends from then on."""

    def __init__(self, node: RealNode) -> None:
        self._node = node
        self._times: dict[Moment, float] = {}
        self._heard = asyncio.Event()
        self._stack = contextlib.AsyncExitStack()

    async def seconds(self, container_id: str, what: str) -> float:
        """When it was, on the wall's clock; waits until it is heard of."""
        while (moment := Moment(container_id, what)) not in self._times:
            self._heard.clear()
            await self._heard.wait()
        return self._times[moment]

    async def __aenter__(self) -> Self:
        # In the node's mounts alone: a program that is in its processes too would outlive the one that is ended.
        process = await asyncio.create_subprocess_exec(
            *("nsenter", "--target", str(self._node.pid), "--mount", "--"),
            *("ctr", "--address", str(self._node.files.socket), "--namespace", "k8s.io", "events"),
            stdout=asyncio.subprocess.PIPE,
        )
        listening = asyncio.create_task(self._listen(process))
        self._stack.callback(listening.cancel)
        self._stack.push_async_callback(process.wait)
        self._stack.callback(process.kill)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        while process.stdout is not None and (line := await process.stdout.readline()):
            if heard := read_event(line.decode()):
                self._times.setdefault(*heard)
                self._heard.set()


def read_event(line: str) -> tuple[Moment, float] | None:
    """`DATE TIME OFFSET ZONE NAMESPACE TOPIC JSON`; None when it is about something else."""
    words = line.split(maxsplit=6)
    if len(words) < 7 or words[5] not in _WANTED:
        return None
    told = json.loads(words[6])
    # An exec in the container ends under a name of its own.
    if told.get("id", told["container_id"]) != told["container_id"]:
        return None
    whole, _, fraction = words[1].partition(".")
    then = datetime.datetime.fromisoformat(f"{words[0]}T{whole}+00:00")
    return Moment(told["container_id"], _WANTED[words[5]]), then.timestamp() + float(f"0.{fraction or 0}")
