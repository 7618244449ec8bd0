"""The process that is S3: moto behind the door, on a socket that its parent has bound.

    python -m cachesim.localcluster.s3_server --descriptor N

The access key comes in the environment variable AWS_ACCESS_KEY_ID.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="moto's S3, with counters")
    parser.add_argument("--descriptor", type=int, required=True, help="the listening socket that is inherited")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--bytes-per-second", type=int, default=0, help="of all GETs together; 0: as fast as it goes")
    given = parser.parse_args(arguments)

    from moto.moto_server.werkzeug_app import create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    from cachesim.localcluster.s3_door import Door, Environment, StartResponse

    # The one service is loaded now: the dispatcher of moto would load it, and guess it, at the first request.
    backend = create_backend_app("s3")

    def application(environment: Environment, start_response: StartResponse) -> Iterable[bytes]:
        answer: Iterable[bytes] = backend(environment, start_response)
        return answer

    class Handler(WSGIRequestHandler):
        """Keeps connections open, and says nothing of each request."""

        protocol_version = "HTTP/1.1"
        # Headers and body are written apart: without this the body waits for the ACK of the headers.
        disable_nagle_algorithm = True

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    door = Door(application, os.environ["AWS_ACCESS_KEY_ID"], bytes_per_second=given.bytes_per_second)
    server = make_server(given.address, 0, door, threaded=True, request_handler=Handler, fd=given.descriptor)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
