"""A run drawn for a person: one HTML page, with a lane per node."""

from __future__ import annotations

from cachesim.simulation.report.render import render

__all__ = ["render"]
