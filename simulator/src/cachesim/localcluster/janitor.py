"""A process that outlives the cluster by a moment: takes down what would stay behind if the cluster is killed.

    python -I -S janitor.py < commands

Each line that it reads is a Python literal: ("mount", PATH), ("unmounted", PATH) or ("remove", PATH). At the end of
its input, that is when the cluster has ended in whatever way, it unmounts the mounts that are left, the last one first,
then removes the directories. Only the standard library: it starts in milliseconds.
"""

from __future__ import annotations

import ast
import shutil
import signal
import subprocess
import sys


def main() -> int:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    mounts: list[str] = []
    directories: list[str] = []
    for line in sys.stdin:
        verb, path = ast.literal_eval(line)
        if verb == "mount":
            mounts.append(path)
        elif verb == "unmounted" and path in mounts:
            mounts.remove(path)
        elif verb == "remove":
            directories.append(path)
    left = []
    for path in reversed(mounts):
        # Lazily: processes that are just being killed may still have files open.
        ended = subprocess.run(["umount", "--lazy", path], stderr=subprocess.DEVNULL, check=False)
        if ended.returncode != 0:
            left.append(path)
    for path in directories:
        if not any(mount.startswith(f"{path}/") for mount in left):
            shutil.rmtree(path, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
