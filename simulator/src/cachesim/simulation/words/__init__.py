"""An event of the simulated world in one line of plain English: what changed, and nothing else."""

from __future__ import annotations

from cachesim.simulation.words.events import Words
from cachesim.simulation.words.names import ModelNames

__all__ = ["ModelNames", "Words"]
