"""A plan drawn for a person: one HTML page with curves, tables and heat maps."""

from __future__ import annotations

from cachesim.planning.report.render import render

__all__ = ["render"]
