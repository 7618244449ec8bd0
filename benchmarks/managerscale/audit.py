"""What one user has asked of the API server, by the server's own audit log."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
# Leader election writes for ever, however little happens.
_ASIDE = frozenset({"leases"})


class _User(msgspec.Struct, frozen=True):
    username: str = ""


class _ObjectRef(msgspec.Struct, frozen=True):
    resource: str = ""
    subresource: str = ""


class _ResponseStatus(msgspec.Struct, frozen=True):
    code: int = 0


class _Event(msgspec.Struct, frozen=True, rename="camel"):
    stage: str
    verb: str
    user: _User = _User()
    object_ref: _ObjectRef = _ObjectRef()
    response_status: _ResponseStatus = _ResponseStatus()


class Writes(msgspec.Struct, frozen=True):
    """Writes that were sent, whatever became of them, by `verb resource[/subresource]`.

    `conflicts` are those that were refused because the object was no longer what the writer had seen: 409, and 422 for
    a patch whose test failed. `refused` are all others that failed.
    """

    by_kind: dict[str, int] = {}
    conflicts: int = 0
    refused: int = 0

    @property
    def total(self) -> int:
        return sum(self.by_kind.values())

    def since(self, earlier: Writes) -> Writes:
        """What has come since an earlier count."""
        more = {kind: count - earlier.by_kind.get(kind, 0) for kind, count in self.by_kind.items()}
        return Writes(
            by_kind={kind: count for kind, count in sorted(more.items()) if count},
            conflicts=self.conflicts - earlier.conflicts,
            refused=self.refused - earlier.refused,
        )


class AuditLog:
    """Reads on from where it stopped at each `read`."""

    def __init__(self, path: Path, user: str) -> None:
        self._path = path
        self._user = user
        self._offset = 0
        self._by_kind: Counter[str] = Counter()
        self._conflicts = 0
        self._refused = 0
        self._foreign: set[tuple[str, str]] = set()
        self._decoder = msgspec.json.Decoder(_Event)

    def read(self) -> Writes:
        """All that the user has written until now."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, end, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(end)
        for line in whole.splitlines():
            self._take(self._decoder.decode(line))
        return Writes(by_kind=dict(self._by_kind), conflicts=self._conflicts, refused=self._refused)

    def is_only_his(self, verb: str, resource: str) -> bool:
        """Whether nobody else has sent such a request: then the server's own sums over all users are this user's."""
        return (verb, resource) not in self._foreign

    def _take(self, event: _Event) -> None:
        where = event.object_ref
        if event.stage != "ResponseComplete" or event.verb not in _WRITES or where.resource in _ASIDE:
            return
        if event.user.username != self._user:
            self._foreign.add((event.verb, where.resource))
            return
        subresource = f"/{where.subresource}" if where.subresource else ""
        self._by_kind[f"{event.verb} {where.resource}{subresource}"] += 1
        code = event.response_status.code
        if code == 409 or (code == 422 and event.verb == "patch"):
            self._conflicts += 1
        elif code >= 400:
            self._refused += 1
