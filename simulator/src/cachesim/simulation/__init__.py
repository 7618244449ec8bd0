"""Whole clusters in virtual time: scenarios, workload, faults, checkers, outcome."""
