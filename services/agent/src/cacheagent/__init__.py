"""Keeps the models of one node on its disk: downloads, verifies, publishes, evicts, reports."""
