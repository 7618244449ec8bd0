"""What a caller may say beside the object itself, and what a write answers."""

from __future__ import annotations

import msgspec

from cachesim.apiserver.resources import JsonObject


class WriteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Query parameters and headers of a write. `field_validation` is Ignore, Warn or Strict."""

    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = "Warn"
    force: bool = False
    user: str = ""
    user_agent: str = ""


class DeleteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """metav1.DeleteOptions. `propagation_policy` is Background, Foreground, Orphan, or "" for the kind's default."""

    dry_run: bool = False
    grace_period_seconds: int | None = None
    propagation_policy: str = ""
    uid: str = ""
    resource_version: str = ""
    user: str = ""
    user_agent: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What a write returns: the object (or a Status), the warnings, and whether the object is new."""

    object: JsonObject
    warnings: tuple[str, ...] = ()
    created: bool = False
