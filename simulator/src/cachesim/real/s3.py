"""moto's S3 in this process, on a free port of loopback, with one bucket's worth of bytes that can be damaged."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3.models import S3Backend, s3_backends
from werkzeug.serving import WSGIRequestHandler, make_server

ADDRESS = "127.0.0.1"
REGION = "us-east-1"

_NUMBERS = itertools.count(1)

Environment = dict[str, Any]
StartResponse = Callable[..., Any]


class BucketServer:
    """`with BucketServer() as s3:` serves every bucket at `s3.url`; in moto they are its own, whatever else is there.

    - corrupt_at_rest: the object's stored bytes change, what S3 says of them doesn't
    - corrupt_in_flight: the next answers with the object's bytes have one bit that is another
    """

    def __init__(self) -> None:
        self._application = create_backend_app("s3")
        # moto keeps one namespace of buckets for the whole process.
        self._prefix = f"world-{next(_NUMBERS)}-"
        self._buckets: dict[str, None] = {}
        self._damaged: Counter[str] = Counter()
        self._server = make_server(ADDRESS, 0, self._answer, threaded=True, request_handler=_Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="simulated-s3")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for bucket in self._buckets:
            for stored in self._backend.get_bucket(bucket).keys.values():
                stored.dispose()
            self._backend.buckets.pop(bucket)
            s3_backends.bucket_accounts.pop(bucket, None)

    @property
    def environment(self) -> dict[str, str]:
        """What tells every S3 client where it is."""
        return {
            "AWS_ENDPOINT_URL": f"http://{ADDRESS}:{self._server.server_port}",
            "AWS_ACCESS_KEY_ID": "simulated",
            "AWS_SECRET_ACCESS_KEY": "simulated",
            "AWS_DEFAULT_REGION": REGION,
        }

    def put(self, bucket: str, key: str, content: bytes) -> str:
        """Store an object, over what was there; answer its ETag."""
        own = self._prefix + bucket
        if own not in self._buckets:
            self._backend.create_bucket(own, REGION)
            self._buckets[own] = None
        etag: str = self._backend.put_object(own, key, content).etag
        return etag.strip('"')

    def corrupt_at_rest(self, bucket: str, key: str) -> None:
        stored: Any = self._backend.get_object(self._prefix + bucket, key)
        stored.value = flipped(stored.value)

    def corrupt_in_flight(self, bucket: str, key: str, times: int = 1) -> None:
        self._damaged[f"/{bucket}/{key}"] += times

    @property
    def _backend(self) -> S3Backend:
        backend: S3Backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        return backend

    def _answer(self, environment: Environment, start_response: StartResponse) -> Iterable[bytes]:
        path = environment["PATH_INFO"]
        own = {**environment, **{name: self._own_path(environment[name]) for name in ("PATH_INFO", "RAW_URI")}}
        answer: Iterable[bytes] = self._application(own, start_response)
        if environment["REQUEST_METHOD"] == "GET" and self._damaged[path] > 0:
            self._damaged[path] -= 1
            return _damaged(answer)
        return answer

    def _own_path(self, path: str) -> str:
        return f"/{self._prefix}{path.removeprefix('/')}"


class _Handler(WSGIRequestHandler):
    """Keeps connections open, and says nothing of each request."""

    protocol_version = "HTTP/1.1"
    # Headers and body are written apart: without this the body waits for the ACK of the headers.
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def flipped(content: bytes) -> bytes:
    """The same bytes, but for one bit in their middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def _damaged(blocks: Iterable[bytes]) -> Iterator[bytes]:
    first = True
    for block in blocks:
        yield flipped(block) if first and block else block
        first = first and not block
