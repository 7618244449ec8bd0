"""What a service's process runs first: ties its life to the cluster's, then becomes the service.

    python -I -S launcher.py PARENT COMMAND [ARGUMENT ...]

A program of its own, because nothing may safely run between fork and exec in a process that has threads. Only the
standard library: it is through in milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PARENT_DEATH_SIGNAL = 1


def main(parent: int, command: list[str]) -> int:
    # SIGKILL when the cluster ends, however it ends; it survives the exec.
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        return 137
    try:
        os.execvp(command[0], command)  # noqa: S606 - becoming it is the point
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
        return 127


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
