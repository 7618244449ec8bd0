"""What a client written in Python says of itself: how long the work took, without the start of the interpreter.

An agent has been running for days when a download begins; a command has not.
"""

from __future__ import annotations

import json
import resource
import sys
import time


def _cpu_seconds() -> float:
    """Of this process, and of those that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class Stopwatch:
    """Runs from its making on."""

    def __init__(self) -> None:
        self._began_seconds = time.perf_counter()
        self._cpu_began_seconds = _cpu_seconds()

    def report(self) -> None:
        """One line on standard output, for whoever started the process."""
        told = {
            "work_seconds": time.perf_counter() - self._began_seconds,
            "work_cpu_seconds": _cpu_seconds() - self._cpu_began_seconds,
        }
        sys.stdout.write(json.dumps(told) + "\n")
