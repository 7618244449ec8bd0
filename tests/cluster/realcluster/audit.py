"""What localmodel's parts have asked of the API server, by its audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, TypeAlias

from realcluster.deployment import SYSTEM, Deployment

PREFIX = f"system:serviceaccount:{SYSTEM}:"
ACCOUNTS = ("localmodel-agent", "localmodel-manager", "localmodel-webhook")
Right: TypeAlias = tuple[str, str]
"""(verb, resource)."""

# A watch is answered when it begins; it may be on for as long as its part lives.
_STAGES = ("ResponseStarted", "ResponseComplete")


def requests(deployed: Deployment, *, by_others: bool = False) -> Iterator[dict[str, Any]]:
    """Those that our parts have made so far; or those that somebody else has made with a token of theirs.

    Not those of an earlier deployment, whose rights went before its pods.
    """
    for line in deployed.cluster.plane.files.audit_log.read_text().splitlines():
        event = json.loads(line)
        # Of a request with a token that is void, the log knows no user.
        account = event["user"].get("username", "")
        if account.startswith(PREFIX) and event["stage"] in _STAGES and _when(event) >= deployed.began:
            # Each part says its account's name as its user agent's.
            ours = event.get("userAgent", "").partition("/")[0] == account.removeprefix(PREFIX)
            if ours is not by_others:
                yield event


def _when(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()


def used(deployed: Deployment) -> dict[str, set[Right]]:
    """The rights that the accounts have used so far."""
    found: dict[str, set[Right]] = {account: set() for account in ACCOUNTS}
    for event in requests(deployed):
        reference = event.get("objectRef") or {}
        kind = "/".join(filter(None, (reference.get("resource", ""), reference.get("subresource", ""))))
        found[event["user"]["username"].removeprefix(PREFIX)].add((event["verb"], kind))
    return found
