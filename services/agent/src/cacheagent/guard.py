"""`cacheagent wait`: holds a pod until its model is there.

It runs in every pod that uses a cached model, so it imports next to nothing and starts in a moment.
"""

from __future__ import annotations

import os
import sys
import time

POLL_SECONDS_MIN = 0.02
POLL_SECONDS_MAX = 0.25
PROGRESS_SECONDS = 10.0
NAMES_SHOWN = 10

USAGE = """usage: cacheagent wait --path PATH [--folder NAME ...] [--timeout-seconds N]

Wait until PATH exists, then exit with 0.

  --path PATH            the folder that appears, whole, when the model is on this node
                         (LOCALMODEL_PATH)
  --folder NAME          what must be in that folder then, or exit with 1; can be given several times
                         (LOCALMODEL_FOLDER; default: none)
  --timeout-seconds N    give up after N seconds with exit code 1; 0 waits for ever
                         (LOCALMODEL_TIMEOUT_SECONDS; default: 0)
"""


def main(arguments: list[str]) -> int:
    """The guard's command line, without argparse: importing it would take longer than all the rest."""
    options = {
        "--path": os.environ.get("LOCALMODEL_PATH", ""),
        "--folder": os.environ.get("LOCALMODEL_FOLDER", ""),
        "--timeout-seconds": os.environ.get("LOCALMODEL_TIMEOUT_SECONDS", "0"),
    }
    folders = [options["--folder"]] if options["--folder"] else []
    rest = list(arguments)
    while rest:
        name, separator, value = rest.pop(0).partition("=")
        if name in ("-h", "--help"):
            sys.stdout.write(USAGE)
            return 0
        if name not in options or not (separator or rest):
            sys.stderr.write(f"cacheagent wait: unexpected {name}\n{USAGE}")
            return 2
        options[name] = value if separator else rest.pop(0)
        if name == "--folder":
            folders.append(options[name])
    path = options["--path"]
    try:
        timeout_seconds = float(options["--timeout-seconds"])
    except ValueError:
        sys.stderr.write(f"cacheagent wait: --timeout-seconds {options['--timeout-seconds']!r} is not a number\n")
        return 2
    if not path:
        sys.stderr.write(f"cacheagent wait: --path is missing\n{USAGE}")
        return 2
    return wait(path, timeout_seconds) or look(path, folders)


def look(path: str, folders: list[str]) -> int:
    """A folder that the model lacks can't be mounted; the kubelet would only say that it could not make it."""
    for folder in folders:
        if not os.path.exists(os.path.join(path, folder)):
            there = sorted(os.listdir(path))
            shown = ", ".join(there[:NAMES_SHOWN]) + (", ..." if len(there) > NAMES_SHOWN else "")
            sys.stderr.write(f"the model has no {folder}; it has {shown}: see the storageUri of the service\n")
            return 1
    return 0


def wait(path: str, timeout_seconds: float) -> int:
    """Poll, soon at first and then a few times a second: inotify sees no renames made on another mount's side."""
    began = time.monotonic()
    told = began
    poll = POLL_SECONDS_MIN
    while not os.path.exists(path):
        now = time.monotonic()
        if 0 < timeout_seconds <= now - began:
            sys.stderr.write(
                f"{path} did not appear within {timeout_seconds:g} s; see why with: "
                f"kubectl describe localmodelnode {os.environ.get('NODE_NAME', '<node>')}\n"
            )
            return 1
        if now - told >= PROGRESS_SECONDS:
            told = now
            sys.stdout.write(f"waiting for {path} since {now - began:.0f} s\n")
            sys.stdout.flush()
        time.sleep(poll)
        poll = min(poll * 1.5, POLL_SECONDS_MAX)
    sys.stdout.write(f"{path} is there after {time.monotonic() - began:.2f} s\n")
    return 0
