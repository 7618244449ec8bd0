"""Any event of a simulated world in words."""

from __future__ import annotations

from cachesim.apiserver.store import Change
from cachesim.disk import DiskEvent
from cachesim.simulation.event_log import Event
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.words.api import api_words
from cachesim.simulation.words.disk import disk_words
from cachesim.simulation.words.names import ModelNames

_PREFIXES = {"fault": "FAULT: ", "heal": "healed: ", "violation": "VIOLATION of "}


class Words:
    """Makes one line of an event; "" for one that is no news (a lease renewed, a heartbeat)."""

    def __init__(self, names: ModelNames) -> None:
        self.names = names

    @classmethod
    def of(cls, scenario: Scenario) -> Words:
        return cls(ModelNames.of(scenario))

    def __call__(self, event: Event) -> str:
        subject = event.subject
        if isinstance(subject, Change):
            return api_words(subject, self.names)
        if isinstance(subject, DiskEvent):
            return disk_words(event.node, subject, self.names)
        return f"{_PREFIXES.get(event.kind, '')}{self._of_node(event)}{self.names.in_text(subject)}"

    def _of_node(self, event: Event) -> str:
        return f"{event.node}: " if event.kind == "host" and event.node else ""
