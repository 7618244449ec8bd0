"""The network of a cluster: a bridge, and a way to each node's pods."""

from __future__ import annotations

import asyncio
import ctypes
import os

from cachecore.errors import LocalModelError

_CLONE_NEWNET = 0x40000000
BRIDGE = "localmodel"
# Only within the namespace: clusters beside each other all have the same.
GATEWAY = "10.77.0.1"


class CommandFailed(LocalModelError):
    """A program ended with an error; the message has its last words."""


def enter_new_network() -> None:
    """Take the calling thread, and the threads and processes that it starts, into a network namespace of their own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"no network namespace can be made here: {os.strerror(code)}")


def node_address(number: int) -> str:
    """Of the node, in the network of the nodes."""
    return f"10.77.0.{10 + number}"


def pod_subnet(number: int) -> str:
    """Of the pods on the node."""
    return f"10.88.{10 + number}.0/24"


async def make_bridge() -> None:
    """In the namespace of whoever calls."""
    await run("ip", "link", "set", "lo", "up")
    await run("ip", "link", "add", BRIDGE, "type", "bridge")
    await run("ip", "address", "add", f"{GATEWAY}/24", "dev", BRIDGE)
    await run("ip", "link", "set", BRIDGE, "up")


async def plug_in(number: int, pid: int) -> None:
    """Give the node whose process that is an `eth0` on the bridge."""
    port = f"node{number}"
    await run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    await run("ip", "link", "set", port, "master", BRIDGE, "up")
    await run("ip", "route", "replace", pod_subnet(number), "via", node_address(number))


async def run(*command: str, given: str = "") -> str:
    """What the program says, which reads `given`. Raises `CommandFailed`."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate(given.encode())
    if process.returncode != 0:
        said = errors.decode(errors="replace").strip()[-2000:]
        raise CommandFailed(f"`{' '.join(command)}` ended with {process.returncode}: {said}")
    return output.decode()
