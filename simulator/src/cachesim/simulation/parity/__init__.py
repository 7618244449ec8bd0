"""Decisions that were made for real, made again in the simulator by the same code, and compared."""
