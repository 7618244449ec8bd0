"""The API server's audit log: who asked for what, and when."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cachecore.timestamps import parse_timestamp

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


class _User(msgspec.Struct, frozen=True):
    username: str = ""


class _Object(msgspec.Struct, frozen=True, rename="camel"):
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""


class _Status(msgspec.Struct, frozen=True):
    code: int = 0


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One request that was answered."""

    stage: str
    verb: str
    user: _User = _User()
    user_agent: str = ""
    object_ref: _Object = _Object()
    response_status: _Status = _Status()
    request_received_timestamp: str

    @property
    def received_seconds(self) -> float:
        """When the API server had read the request's head: Unix seconds."""
        return parse_timestamp(self.request_received_timestamp)

    @property
    def accepted(self) -> bool:
        return self.response_status.code < 300

    def __str__(self) -> str:
        one = self.object_ref
        path = "/".join(word for word in (one.resource, one.namespace, one.name, one.subresource) if word)
        return f"{self.verb} {path}: {self.response_status.code}"


class AuditLog:
    """Reads the log from its start at each question: it may be asked while the API server writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._decoder = msgspec.json.Decoder(AuditEvent)

    def requests(self, user: str, *, since_seconds: float = 0.0) -> list[AuditEvent]:
        """What `user` asked for, in the order of the answers."""
        *lines, _unfinished = self._path.read_bytes().split(b"\n")
        name = f'"username":"{user}"'.encode()
        events = [self._decoder.decode(line) for line in lines if name in line]
        return [
            event
            for event in events
            if event.stage == "ResponseComplete"
            and event.user.username == user
            and event.received_seconds >= since_seconds
        ]

    def writes(self, user: str, *, since_seconds: float = 0.0) -> list[AuditEvent]:
        """What `user` wrote, or tried to, but for leases: those are how leaders are found."""
        return [
            event
            for event in self.requests(user, since_seconds=since_seconds)
            if event.verb in WRITES and event.object_ref.resource != "leases"
        ]

    def lease_writes(self, user: str, *, since_seconds: float = 0.0) -> list[AuditEvent]:
        """The lease writes of `user` that the API server took."""
        return [
            event
            for event in self.requests(user, since_seconds=since_seconds)
            if event.verb in WRITES and event.object_ref.resource == "leases" and event.accepted
        ]
