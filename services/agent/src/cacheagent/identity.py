"""Whether what is found below the root is the node's own disk: a mount that is away looks like an empty disk.

Whatever is written while it is away lands on the node's root disk, hidden as soon as the mount is back. What tells:

- A store id is found: that store is here, on whatever device; another one than before is a disk that was swapped.
- None is found on the file system of the last look: the store was wiped, and a new one begins.
- None is found on another file system: the mount is away. Nothing is made until a store is there again. An empty disk
  that was put in for good is accepted by restarting the agent.
- None is found by an agent that has just started, though the node's status tells of a store: at a boot the mount may
  come late, so it is waited for. Then what is there is taken for a new disk: a node is never stuck for good.
"""

from __future__ import annotations

import msgspec


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One look: the id on the disk, "" for none, and the file system before and after it was looked at."""

    store_id: str
    file_system_before: str
    file_system: str


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of before: `file_system` is empty until the first look that was believed.

    `store_id` is what the status tells as long as the agent itself has seen none; it waits since `waited_seconds`.
    """

    store_id: str = ""
    file_system: str = ""
    waited_seconds: float = 0.0


def why_not_ours(found: Found, known: Known, *, wait_seconds: float) -> str:
    """Why what was found must be left alone, for a person; "" when it may be taken for the node's store."""
    if found.file_system != found.file_system_before:
        return "the file system of the models was mounted or unmounted just now; it is looked at again"
    if found.store_id or not known.store_id:
        return ""
    if not known.file_system:
        if known.waited_seconds >= wait_seconds:
            return ""
        return (
            f"store {known.store_id} of this node is not on its disk: if a mount is missing, mount it; "
            f"what is there now is taken for a new disk after {wait_seconds:.0f} s"
        )
    if found.file_system == known.file_system:
        return ""
    return (
        f"store {known.store_id} has gone, another file system is in its place: mount the disk again, "
        "or restart the agent of this node to take what is there for a new disk"
    )
