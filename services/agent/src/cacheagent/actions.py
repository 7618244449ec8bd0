"""What a plan says: frozen actions, each with its reason, and why the other models are not on their way."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

NOT_ASSIGNED = "NotAssigned"
NO_ROOM = "NoRoom"
TOO_LARGE = "ModelLargerThanLimit"


class MakeView(msgspec.Struct, frozen=True):
    key: str
    reason: str = "Assigned"


class RemoveView(msgspec.Struct, frozen=True):
    key: str
    reason: str = NOT_ASSIGNED


class Resolve(msgspec.Struct, frozen=True):
    """List the source: only then is the size known, and whether it can be read at all."""

    key: str
    reason: str = "SizeUnknown"


class Adopt(msgspec.Struct, frozen=True):
    """Check the folder `path`, which has no manifest, against the source, and make it the published copy."""

    key: str
    path: str
    reason: str = "FoundOnDisk"


class Fetch(msgspec.Struct, frozen=True):
    key: str
    reserve_bytes: int
    reason: str


class Abandon(msgspec.Struct, frozen=True):
    """Stop what runs for the key and give back the space of its staging area."""

    key: str
    reason: str


class Pause(msgspec.Struct, frozen=True):
    """Stop a transfer for one that a pod waits for; it is resumed later from where it was."""

    key: str
    reason: str = "PodWaitsForAnother"


class Discard(msgspec.Struct, frozen=True):
    """A folder that is not what its manifest says: out of the way, so that it can be fetched again."""

    key: str
    reason: str


class Evict(msgspec.Struct, frozen=True):
    key: str
    reason: str
    message: str


Action: TypeAlias = MakeView | RemoveView | Resolve | Adopt | Fetch | Abandon | Pause | Discard | Evict


class Obstacle(msgspec.Struct, frozen=True):
    """Why a desired model is not on its way: the reason and the sentence that status carries.

    `never` tells that it can't fit as things are: InsufficientStorage.
    """

    reason: str
    message: str
    never: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`wake_at_seconds` is when the plan may change without anything happening; 0 for never."""

    actions: tuple[Action, ...] = ()
    keep: tuple[str, ...] = ()
    obstacles: dict[str, Obstacle] = {}
    wake_at_seconds: float = 0.0
