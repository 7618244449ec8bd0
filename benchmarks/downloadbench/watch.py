"""Runs one client and says what it took. A process of its own, and a small one.

A process' peak of memory begins with that of the one that started it (until 2024's kernels at least), and the benchmark
itself is larger than some clients.

python -m downloadbench.watch TARGET TIMEOUT_SECONDS COMMAND...
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time


def sync_file_system(path: str) -> None:
    """Make all durable that was written to the file system that holds `path`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        ctypes.CDLL(None).syncfs(descriptor)
    finally:
        os.close(descriptor)


def watch(target: str, timeout_seconds: float, command: list[str]) -> dict[str, float]:
    began = time.perf_counter()
    process_id = os.posix_spawnp(command[0], command, os.environ, setpgroup=0)
    timer = threading.Timer(timeout_seconds, os.killpg, (process_id, signal.SIGKILL))
    timer.start()
    _, status, usage = os.wait4(process_id, 0)
    seconds = time.perf_counter() - began
    timer.cancel()
    sync_file_system(target)
    return {
        "exit_code": os.waitstatus_to_exitcode(status),
        "seconds": seconds,
        "durable_seconds": time.perf_counter() - began,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_rss_bytes": usage.ru_maxrss * 1024,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(watch(sys.argv[1], float(sys.argv[2]), sys.argv[3:])) + "\n")
