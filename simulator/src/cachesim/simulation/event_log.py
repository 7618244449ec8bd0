"""What happened in a simulated world, in order: hashed as it comes, the last events kept for a person to read.

An event costs a hash and a small struct. Words are made of it only when somebody asks, or watches.
"""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Callable

import msgspec

from cachesim.apiserver.store import Change
from cachesim.disk import DiskEvent

# Most events are renewals of leases, which no person wants to read: more are kept than are shown.
KEPT_EVENTS = 600
SHOWN_LINES = 40


class Event(msgspec.Struct, frozen=True):
    """One event. `kind` is api, disk, host, fault, heal or violation; `node` is where, or "" for the cluster."""

    seconds: float
    kind: str
    subject: Change | DiskEvent | str
    node: str = ""


def plain_words(event: Event) -> str:
    """An event without any knowledge of what it means."""
    subject = event.subject
    if isinstance(subject, Change):
        metadata = subject.item["metadata"]
        return f"{subject.type} {subject.resource_type.plural} {metadata.get('namespace', '')}/{metadata['name']}"
    if isinstance(subject, DiskEvent):
        return " ".join(word for word in (event.node, subject.verb, subject.path, subject.target) if word)
    return subject


class EventLog:
    """Each event is one line: virtual time, what kind, and words. The same seed gives the same hash.

    `describe` makes words of the events that are kept; "" leaves an event out. Observers are told of each event.
    """

    def __init__(self, describe: Callable[[Event], str] = plain_words) -> None:
        self._hash = hashlib.sha256()
        self._describe = describe
        self._last: collections.deque[Event] = collections.deque(maxlen=KEPT_EVENTS)
        self._until_violation: tuple[Event, ...] = ()
        self.observers: list[Callable[[Event], None]] = []
        self.events = 0

    def add(
        self, seconds: float, kind: str, words: str, *, subject: Change | DiskEvent | None = None, node: str = ""
    ) -> None:
        """An event of the world: `words` are what is hashed; `subject` is what happened, when it is more than words.

        A fault is told as kind `fault`, and its end as kind `heal` with the same words.
        """
        self._hash.update(f"{seconds:.6f} {kind} {words}\n".encode())
        self.events += 1
        self._keep(Event(seconds, kind, words if subject is None else subject, node))

    def note(self, seconds: float, kind: str, words: str, *, node: str = "") -> None:
        """What is told to people alone: it is not hashed, so that a run with checkers has the hash of one without."""
        self._keep(Event(seconds, kind, words, node))
        if kind == "violation" and not self._until_violation:
            self._until_violation = tuple(self._last)

    @property
    def hash(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    @property
    def last_lines(self) -> tuple[str, ...]:
        """In words, the last events up to the first violation; of a run without one, the last events."""
        events = self._until_violation or self._last
        lines = [f"{event.seconds:.3f} {words}" for event in events if (words := self._describe(event))]
        return tuple(lines[-SHOWN_LINES:])

    def _keep(self, event: Event) -> None:
        self._last.append(event)
        for observer in self.observers:
            observer(event)
