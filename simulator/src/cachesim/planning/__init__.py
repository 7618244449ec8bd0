"""Capacity planning: a workload, replayed against the production policy, and how far that is from the best possible."""
