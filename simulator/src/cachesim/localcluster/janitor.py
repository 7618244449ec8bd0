"""A process that outlives the cluster by a moment: takes down what would stay behind if the cluster is killed.

    python -I -S janitor.py < commands

Each line that it reads is a Python literal: ("mount", PATH), ("unmounted", PATH), ("cgroup", PATH) or ("remove", PATH).
At the end of its input, that is when the cluster has ended in whatever way, it unmounts the mounts that are left, the
last one first, then removes the cgroups, as soon as their processes have died, and the directories. Only the standard
library: it starts in milliseconds.
"""

from __future__ import annotations

import ast
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

CGROUP_SECONDS = 10.0


def main() -> int:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    mounts: list[str] = []
    cgroups: list[str] = []
    directories: list[str] = []
    for line in sys.stdin:
        verb, path = ast.literal_eval(line)
        if verb == "mount":
            mounts.append(path)
        elif verb == "unmounted" and path in mounts:
            mounts.remove(path)
        elif verb == "cgroup":
            cgroups.append(path)
        elif verb == "remove":
            directories.append(path)
    left = []
    for path in reversed(mounts):
        # Lazily: processes that are just being killed may still have files open.
        ended = subprocess.run(["umount", "--lazy", path], stderr=subprocess.DEVNULL, check=False)
        if ended.returncode != 0:
            left.append(path)
    remove_cgroups(cgroups)
    for path in directories:
        if not any(mount.startswith(f"{path}/") for mount in left):
            shutil.rmtree(path, ignore_errors=True)
    return 0


def remove_cgroups(paths: list[str]) -> None:
    """Innermost first. One that still has a process in it can't be removed yet."""
    deadline = time.monotonic() + CGROUP_SECONDS
    left = [path for path in paths if os.path.isdir(path)]
    while left and time.monotonic() < deadline:
        for path in left:
            for directory, _, _ in os.walk(path, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(directory)
        left = [path for path in left if os.path.isdir(path)]
        if left:
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
