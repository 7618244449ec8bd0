"""An S3 that is faster than its clients: nginx over a folder, with a listing, delays and refusals."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from cachecore.errors import LocalModelError
from cachesim.host.ports import ADDRESS, reserve_port

BUCKET = "bench"
_SCRIPT = Path(__file__).with_name("s3.js")
_MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")
_READY_SECONDS = 10.0
_SLOW_DOWN = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class NoServer(LocalModelError):
    """nginx, or its JavaScript, is not installed."""

    reason = "NoServer"


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What the server does to each request: to every one the delay, to some of them 503 SlowDown."""

    delay_milliseconds: int = 0
    refused_percent: float = 0.0


def find_nginx() -> tuple[str, str]:
    """The program and its module. Raises `NoServer`."""
    path = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/usr/local/sbin"
    program = shutil.which("nginx", path=path)
    module = next((at for at in (f"{place}/ngx_http_js_module.so" for place in _MODULES) if os.path.exists(at)), None)
    if program is None or module is None:
        raise NoServer("nginx with JavaScript is missing: install the packages nginx-light and libnginx-mod-http-js")
    return program, module


def write_listing(data: Path, listings: Path) -> None:
    """What the bucket holds below `data`, with nginx' own etags, so that a version can be asked for."""
    entries = []
    for file in (file for file in data.rglob("*") if file.is_file()):
        status = file.stat()
        changed = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(status.st_mtime))
        etag = f"{int(status.st_mtime):x}-{status.st_size:x}"
        entries.append((str(file.relative_to(data)), status.st_size, etag, changed))
    listings.mkdir(exist_ok=True)
    (listings / f"{BUCKET}.json").write_bytes(msgspec.json.encode(sorted(entries)))


@contextlib.contextmanager
def serving(
    data: Path, scratch: Path, behaviour: Behaviour = Behaviour(), checksums: Mapping[str, str] = MappingProxyType({})
) -> Iterator[str]:
    """The endpoint, while it runs. Who asks is told the CRC64NVME of an object, in base64, as by S3.

    Raises `NoServer`.
    """
    program, module = find_nginx()
    scratch.mkdir(parents=True, exist_ok=True)
    listings = scratch / "listings"
    write_listing(data, listings)
    told = "".join(f'"/.object/{path}" "{checksum}";\n' for path, checksum in sorted(checksums.items()))
    (scratch / "checksums").write_text(told)
    shutil.copy(_SCRIPT, scratch)
    with reserve_port() as reserved:
        port = int(reserved.getsockname()[1])
        configuration = scratch / "nginx.conf"
        configuration.write_text(_configuration(module, port, data, listings, scratch, behaviour))
        log = scratch / "error.log"
        process = subprocess.Popen(
            (program, "-c", str(configuration), "-p", str(scratch), "-e", str(log)), stdin=subprocess.DEVNULL
        )
        try:
            _wait(process, port, log)
            yield f"http://{ADDRESS}:{port}"
        finally:
            process.terminate()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((ADDRESS, port), timeout=1.0):
            return
        time.sleep(0.02)
    said = log.read_text().strip().splitlines() if log.exists() else []
    raise NoServer(f"nginx does not serve: {said[-1] if said else 'it said nothing'}")


def _configuration(module: str, port: int, data: Path, listings: Path, scratch: Path, behaviour: Behaviour) -> str:
    # A worker of nginx that runs as another user could not read a temporary folder of root.
    user = "user root;" if os.geteuid() == 0 else ""
    first = "js_content s3.late;" if behaviour.delay_milliseconds else "try_files /none @serve;"
    # At most a hundred percent, and split_clients takes two decimals.
    share = f"{min(behaviour.refused_percent, 100):.2f}% 1; " if behaviour.refused_percent else ""
    temporary = " ".join(
        f"{name}_temp_path {scratch}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""load_module {module};
worker_processes {os.cpu_count() or 1};
{user}
daemon off;
pid {scratch}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  js_path {scratch}; js_import s3 from s3.js;
  {temporary}
  access_log off;
  sendfile on; tcp_nopush on; tcp_nodelay on; sendfile_max_chunk 2m;
  keepalive_requests 1000000;
  open_file_cache max=10000 inactive=600s;
  default_type application/octet-stream;
  split_clients $request_id $refused {{ {share}* ""; }}
  map_hash_max_size 262144; map_hash_bucket_size 512;
  map $uri $known {{ default ""; include {scratch}/checksums; }}
  map "$http_x_amz_checksum_mode $http_range" $checksum {{ "ENABLED " $known; default ""; }}
  map $checksum $checksum_type {{ "" ""; default FULL_OBJECT; }}
  server {{
    listen {ADDRESS}:{port} backlog=1024;
    set $listings "{listings}";
    set $delay_milliseconds {behaviour.delay_milliseconds};
    location / {{ {first} }}
    location @serve {{
      default_type application/xml;
      if ($refused) {{ return 503 "{_SLOW_DOWN}"; }}
      if ($args ~ "list-type=2") {{ rewrite ^ /.list last; }}
      rewrite ^/[^/]+/?$ /.list last;
      rewrite ^/{BUCKET}/(.*)$ /.object/$1 last;
      return 404;
    }}
    location = /.list {{ internal; js_content s3.list; }}
    location /.object/ {{
      internal;
      alias {data}/;
      add_header x-amz-request-id 1 always;
      add_header x-amz-checksum-crc64nvme $checksum;
      add_header x-amz-checksum-type $checksum_type;
    }}
  }}
}}
"""
