"""`python -m cachesim.demo.s3_pod`: moto's S3 in a pod of deploy/overlays/demo, with a model in it.

The access key comes in the environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. The model is generated,
the same at each start: its bucket is `models`, and what a pod held goes with the pod. When all of it is
there, so is /tmp/seeded: nobody must be served half a model.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import NoReturn

from cachesim.demo.models import BUCKET, generate_model, upload
from cachesim.host.ports import bind
from cachesim.localcluster import s3_server

_MEBIBYTE = 2**20
_SEEDED = Path("/tmp/seeded")  # noqa: S108 - in a container of its own


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cachesim.demo.s3_pod", description="moto's S3, with a model in it")
    parser.add_argument("--address", default="0.0.0.0")  # noqa: S104 - it is for other pods
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--model", default="", metavar="NAME", help=f"generate s3://{BUCKET}/NAME; empty: no model")
    parser.add_argument("--model-mebibytes", type=int, default=256, metavar="NUMBER", help="the size of its weights")
    parser.add_argument(
        "--mebibytes-per-second", type=int, default=0, metavar="NUMBER", help="of all GETs together; 0: no limit"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal ends the process."""
    given = build_parser().parse_args(arguments)
    # The first process of a container ignores what it has no handler for.
    signal.signal(signal.SIGTERM, _stop)
    listening = bind(given.address, given.port)
    listening.listen(128)
    if given.model:
        # What asks before the server is there waits in the backlog.
        place = (given.model, given.model_mebibytes * _MEBIBYTE, listening.getsockname()[1])
        _SEEDED.unlink(missing_ok=True)
        threading.Thread(target=_seed, args=place, name="seed", daemon=True).start()
    else:
        _SEEDED.touch()
    rate = given.mebibytes_per_second * _MEBIBYTE
    return s3_server.main(
        ["--descriptor", str(listening.fileno()), "--address", given.address, "--bytes-per-second", str(rate)]
    )


def _seed(name: str, size_bytes: int, port: int) -> None:
    environment = {"AWS_DEFAULT_REGION": "us-east-1", **os.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    with tempfile.TemporaryDirectory() as directory:
        model = generate_model(Path(directory, name), name, size_bytes)
        upload([model], environment)
    _SEEDED.touch()
    sys.stderr.write(f"{model.uri}: {model.bytes_total} bytes in {len(model.files)} files, digest {model.digest}\n")


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
