"""KServe's own storage initializer: what a model is downloaded with where nothing is cached.

python -m downloadbench.scripts.kserve_get BUCKET PREFIX TARGET
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from downloadbench.stopwatch import Stopwatch


def main(bucket: str, prefix: str, target: str) -> None:
    # It is in an environment of its own, where nobody checks types.
    module: Any = importlib.import_module("kserve_storage")
    watch = Stopwatch()
    module.Storage.download(f"s3://{bucket}/{prefix}", target)
    watch.report()


if __name__ == "__main__":
    main(*sys.argv[1:4])
