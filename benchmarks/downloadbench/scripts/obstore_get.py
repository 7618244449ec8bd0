"""obstore at its best: ranges of big objects and whole small ones, streamed by threads to where they belong.

python -m downloadbench.scripts.obstore_get ENDPOINT BUCKET PREFIX TARGET
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from downloadbench.stopwatch import Stopwatch

THREADS = 8
PART_BYTES = 64 * 2**20
CHUNK_BYTES = 2 * 2**20

Part = tuple[str, str, int, int, int]


def parts(obstore: Any, store: Any, prefix: str, target: str) -> Iterator[Part]:
    for page in obstore.list(store, prefix=prefix):
        for item in page:
            key, size_bytes = item["path"], item["size"]
            path = os.path.join(target, key.removeprefix(prefix))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.truncate(size_bytes)
            for offset in range(0, size_bytes, PART_BYTES):
                yield key, path, offset, min(PART_BYTES, size_bytes - offset), size_bytes


def main(endpoint: str, bucket: str, prefix: str, target: str) -> None:
    # It is in an environment of its own, where nobody checks types.
    obstore: Any = importlib.import_module("obstore")
    stores: Any = importlib.import_module("obstore.store")
    watch = Stopwatch()
    store = stores.S3Store(bucket, endpoint=endpoint, client_options={"allow_http": True})

    def move(part: Part) -> None:
        key, path, offset, length, size_bytes = part
        options = None if length == size_bytes else {"range": (offset, offset + length)}
        with open(path, "r+b", buffering=0) as file:
            file.seek(offset)
            file.writelines(obstore.get(store, key, options=options).stream(min_chunk_size=CHUNK_BYTES))

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(move, parts(obstore, store, prefix, target)):
            pass
    watch.report()


if __name__ == "__main__":
    main(*sys.argv[1:5])
