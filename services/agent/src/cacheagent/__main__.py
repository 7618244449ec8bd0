"""The command `cacheagent`: `run` is the agent of a node, `wait` the guard in front of a pod.

Nothing is imported before it is known which of the two it is: the guard starts in every pod.
"""

from __future__ import annotations

import sys

USAGE = """usage: cacheagent {run,wait} ...

  run     keep the models of this node: download, verify, publish, evict, report
  wait    wait until a model is on this node

`cacheagent run --help` and `cacheagent wait --help` tell the rest.
"""


def main(arguments: list[str] | None = None) -> int:
    """Dispatch to the command; the answer is the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["wait"]:
        from cacheagent.guard import main as wait

        return wait(words[1:])
    if words[:1] == ["run"]:
        from cacheagent.command import main as run

        return run(words[1:])
    if words[:1] in (["-h"], ["--help"]):
        sys.stdout.write(USAGE)
        return 0
    sys.stderr.write(f"cacheagent: name a command\n{USAGE}")
    return 2


if __name__ == "__main__":
    sys.exit(main())
