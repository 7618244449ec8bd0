"""s3fs as it is used most: one `get` of the folder.

python -m downloadbench.scripts.s3fs_get ENDPOINT BUCKET PREFIX TARGET
"""

from __future__ import annotations

import sys

import s3fs

from downloadbench.stopwatch import Stopwatch


def main(endpoint: str, bucket: str, prefix: str, target: str) -> None:
    watch = Stopwatch()
    s3fs.S3FileSystem(endpoint_url=endpoint).get(f"{bucket}/{prefix}", f"{target}/", recursive=True)
    watch.report()


if __name__ == "__main__":
    main(*sys.argv[1:5])
