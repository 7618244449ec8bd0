"""`make kube`: the control plane's binaries, built where they are missing.

python -m cachesim.controlplane [--if-possible]
"""

from __future__ import annotations

import argparse
import os
import sys

from cachesim.controlplane.binaries import ASSETS_VARIABLE, NoBinaries, build_binaries, find_binaries


def main() -> int:
    """Exit code 0 when the binaries are there afterwards; with --if-possible also when they can't be."""
    parser = argparse.ArgumentParser(prog="make kube", description="Builds a Kubernetes control plane, once.")
    parser.add_argument("--if-possible", action="store_true", help="say what is missing, and go on")
    arguments = parser.parse_args()
    try:
        found = find_binaries() if os.environ.get(ASSETS_VARIABLE) else build_binaries(say=_say)
    except NoBinaries as error:
        sys.stderr.write(f"localmodel: {error}\n")
        return 0 if arguments.if_possible else 1
    _say(f"control plane: {found}")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
