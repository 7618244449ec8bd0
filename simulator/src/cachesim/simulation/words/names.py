"""What a person calls things: models instead of storage keys."""

from __future__ import annotations

import re
from collections.abc import Mapping

from cachecore.names import storage_key
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.workload import model_uri

_KEY = re.compile(r"\b[0-9a-f]{16}\b")


class ModelNames:
    """Storage keys and the models behind them; a key that is not known stands for itself."""

    def __init__(self, by_key: Mapping[str, str]) -> None:
        self._by_key = dict(by_key)

    @classmethod
    def of(cls, scenario: Scenario) -> ModelNames:
        return cls({storage_key(model_uri(model)): model.name for model in scenario.models})

    def of_key(self, key: str) -> str:
        return self._by_key.get(key, key)

    def in_text(self, text: str) -> str:
        """A text with every known storage key replaced."""
        return _KEY.sub(lambda match: self.of_key(match[0]), text)
