"""Credentials of S3 on their way from a secret to the store, through a whole agent with its own adapters.

The cluster is in memory; the S3 has a door that lets in whom a test says.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import io
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import boto3
import pytest
from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from cacheagent.adapters import s3_store
from cacheagent.adapters.object_stores import DriverStores
from cacheagent.adapters.part_mover import RangeMover
from cacheagent.adapters.posix_disk import PosixDisk
from cacheagent.agent import Agent
from cacheagent.assembly import TransferLimits
from cacheagent.options import AgentOptions
from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.adapters.logs import OUR_PACKAGES, configure_logging
from cachecore.controller.queue import Backoff
from cachecore.names import storage_key
from cachecore.resources.core import ConfigMap, Event, Secret
from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import (
    LocalModelInfo,
    LocalModelNode,
    LocalModelNodeSpec,
    ModelCopyStatus,
    NodeStoragePolicy,
    Storage,
)
from cachecore.store import layout
from cachecore.testing import FakeCluster
from cachesim.host.certificates import ServerCertificate, make_certificate

CONTENT = bytes(range(256)) * 1024
PART_BYTES = 16 * 1024
PARTS = len(CONTENT) // PART_BYTES
BUCKET = "guarded"
ENTRY = LocalModelInfo(
    source_model_uri=f"s3://{BUCKET}/iris", model_name="iris", size=len(CONTENT), storage=Storage(key="mine")
)
KEYS = {"access_key_id": "the-key", "secret_access_key": "the-secret"}
DEADLINE_SECONDS = 20.0

Step: TypeAlias = Callable[[], bool | None]


class QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class GuardedS3:
    """moto behind a door. `refuses` is asked of each request; whoever is refused hears all that he has said."""

    def __init__(self, certificate: ServerCertificate | None = None) -> None:
        context = (str(certificate.certificate), str(certificate.private_key)) if certificate is not None else None
        self._backend = create_backend_app("s3")
        self._server = make_server(
            "127.0.0.1", 0, self._application, threaded=True, request_handler=QuietHandler, ssl_context=context
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="guarded-s3")
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self._server.server_port}"
        self.refuses: Callable[[dict[str, Any]], bool] = lambda request: False
        self.requests: list[dict[str, Any]] = []
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def reads(self) -> list[dict[str, Any]]:
        """The ranges that were asked for and given."""
        return [request for request in self.requests if request.get("HTTP_RANGE") and request.get("let in")]

    def _application(self, request: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.requests.append(request)
        request["let in"] = not self.refuses(request)
        if request["let in"]:
            answer: Iterable[bytes] = self._backend(request, start_response)
            return answer
        said = {name: value for name, value in request.items() if name.startswith("HTTP_")}
        text = f"<Error><Code>InvalidAccessKeyId</Code><Message>{said} {request['QUERY_STRING']}</Message></Error>"
        body = text.replace("&", "&amp;").encode()
        start_response("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]


def key_of(request: dict[str, Any]) -> str:
    """The access key's id in a request's header or URL; "" for an anonymous one."""
    said = f"{request.get('HTTP_AUTHORIZATION', '')}&{request['QUERY_STRING']}"
    return said.partition("Credential=")[2].partition("/")[0].partition("%2F")[0]


class Node:
    """An agent that keeps its models below `root`, and one model that it is to have."""

    def __init__(self, root: Path, environment: dict[str, str]) -> None:
        self.runtime = AsyncioRuntime(seed=0)
        self.cluster = FakeCluster(self.runtime)
        self.root = root
        self._environment = environment
        self._loop: asyncio.AbstractEventLoop | None = None
        self.cluster.add(
            LocalModelNode(
                metadata=ObjectMeta(name="node-a"),
                spec=LocalModelNodeSpec(local_models=(ENTRY,), storage=NodeStoragePolicy(limit="1Gi")),
            )
        )

    def give(self, **fields: Any) -> None:
        """The entry of `storage-config` that the model names."""
        self.give_text(json.dumps({"type": "s3", **fields}))

    def give_text(self, text: str) -> None:
        self.cluster.add(
            Secret(
                metadata=ObjectMeta(name="storage-config", namespace="localmodel-system"),
                data={"mine": base64.b64encode(text.encode()).decode()},
            )
        )

    def run(self, *steps: Step) -> None:
        """The agent works until the steps are done, one after the other: a question has to come true."""
        asyncio.run(self._run(steps))

    def call(self, change: Callable[[], object]) -> None:
        """From another thread: the change is made between two steps of the agent, and has been made after it."""
        done = threading.Event()

        def work() -> None:
            change()
            done.set()

        assert self._loop is not None
        self._loop.call_soon_threadsafe(work)
        assert done.wait(DEADLINE_SECONDS)

    async def _run(self, steps: Iterable[Step]) -> None:
        self._loop = asyncio.get_running_loop()
        self.root.mkdir(exist_ok=True)
        disk = PosixDisk(str(self.root))
        mover = RangeMover(disk, connections=2)
        stores = DriverStores(self._environment)
        options = AgentOptions(
            node_name="node-a",
            transfer=TransferLimits(part_bytes=PART_BYTES, attempts=2, backoff_seconds=0.001),
            connections_initial=1,
            connections_max=1,
            retry=Backoff(base_seconds=0.02, max_seconds=0.1),
            progress_seconds=0.02,
            start_jitter_seconds=0.0,
        )
        agent = asyncio.create_task(Agent(self.runtime, self.cluster, disk, stores, mover, options).run())
        try:
            for step in steps:
                await self._until(step)
        finally:
            agent.cancel()
            await asyncio.wait([agent])
            await stores.close()
            mover.close()
            disk.close()

    async def _until(self, step: Step) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while step() is False:
            if time.monotonic() > deadline:
                raise AssertionError(f"it did not come true; the model is {self.status}")
            await asyncio.sleep(0.01)

    @property
    def status(self) -> ModelCopyStatus | None:
        node = self.cluster.peek(LocalModelNode, "node-a")
        assert node is not None
        return node.status.models[0] if node.status.models else None

    def downloaded(self) -> bool:
        return self.status is not None and self.status.state == "Downloaded"

    def failed(self, message: str) -> Callable[[], bool]:
        return lambda: self.status is not None and message in self.status.message

    @property
    def content(self) -> bytes:
        return (self.root / layout.published_path(storage_key(ENTRY.source_model_uri)) / "weights.bin").read_bytes()

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.cluster.all(Event) if event.type == "Warning"]

    def everything(self) -> str:
        """All that the agent has ever told the API server, and all that is on its disk."""
        files = [path.read_text(errors="replace") for path in sorted(self.root.rglob("*")) if path.is_file()]
        return "\n".join([*map(str, self.cluster.changes), *files])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    now = datetime.datetime.now(datetime.UTC)
    return make_certificate(tmp_path_factory.mktemp("tls"), ("127.0.0.1",), now=now)


@pytest.fixture(scope="module")
def open_s3() -> Iterator[GuardedS3]:
    s3 = GuardedS3()
    client = boto3.client(
        "s3", endpoint_url=s3.url, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
    )
    client.create_bucket(Bucket=BUCKET, ACL="public-read")
    client.put_object(Bucket=BUCKET, Key="iris/weights.bin", Body=CONTENT, ACL="public-read")
    client.close()
    yield s3
    s3.stop()


@pytest.fixture
def s3(open_s3: GuardedS3) -> Iterator[GuardedS3]:
    open_s3.requests.clear()
    yield open_s3
    open_s3.refuses = lambda request: False


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore's own second attempt comes after a pause."""
    monkeypatch.setattr(s3_store, "ATTEMPTS", 1)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "root", {"AWS_DEFAULT_REGION": "us-east-1"})


def given(s3: GuardedS3, node: Node, **fields: Any) -> None:
    """The model has come, with an entry of `storage-config` that has these fields."""
    node.give(endpoint_url=s3.url, **fields)
    node.run(node.downloaded)
    assert node.content == CONTENT
    assert len(s3.reads) == PARTS
    assert node.warnings == []


def test_a_custom_endpoint_and_keys_come_from_the_entry(s3: GuardedS3, node: Node) -> None:
    given(s3, node, **KEYS)
    assert {key_of(request) for request in s3.requests} == {KEYS["access_key_id"]}


def test_a_session_token_goes_with_the_keys(s3: GuardedS3, node: Node) -> None:
    given(s3, node, **KEYS, session_token="the-token")
    assert s3.requests[0]["HTTP_X_AMZ_SECURITY_TOKEN"] == "the-token"
    assert all("X-Amz-Security-Token=the-token" in request["QUERY_STRING"] for request in s3.reads)


def test_the_requester_pays_when_the_entry_says_so(s3: GuardedS3, node: Node) -> None:
    given(s3, node, **KEYS, requester_pays="true")
    assert {request.get("HTTP_X_AMZ_REQUEST_PAYER") for request in s3.requests} == {"requester"}


def test_an_anonymous_reader_signs_nothing(s3: GuardedS3, node: Node) -> None:
    given(s3, node, anonymous="true")
    assert {key_of(request) for request in s3.requests} == {""}


@pytest.fixture
def tls_s3(open_s3: GuardedS3, certificate: ServerCertificate) -> Iterator[GuardedS3]:
    """The same objects: moto has one set of them."""
    s3 = GuardedS3(certificate)
    yield s3
    s3.stop()


def test_a_ca_bundle_of_a_config_map_is_believed(tls_s3: GuardedS3, node: Node, certificate: ServerCertificate) -> None:
    node.cluster.add(
        ConfigMap(
            metadata=ObjectMeta(name="certs", namespace="localmodel-system"),
            data={"cabundle.crt": certificate.authority.decode()},
        )
    )
    given(tls_s3, node, **KEYS, cabundle_configmap="certs")


def test_an_unknown_authority_is_not_believed_unless_told_to(tls_s3: GuardedS3, node: Node) -> None:
    node.give(endpoint_url=tls_s3.url, **KEYS)
    node.run(node.failed("certificate verify failed"))
    assert tls_s3.requests == []
    node.give(endpoint_url=tls_s3.url, **KEYS, verify_ssl=False)
    node.run(node.downloaded)


def rotate_after(s3: GuardedS3, node: Node, count: int, rotate: Callable[[], object]) -> None:
    """The key `old` is refused after so many ranges; by then there is the key `new`."""

    def refuses(request: dict[str, Any]) -> bool:
        if key_of(request) == "old" and len(s3.reads) == count:
            node.call(rotate)
        return key_of(request) == "old" and len(s3.reads) >= count

    s3.refuses = refuses


@pytest.mark.parametrize("count", [1, PARTS - 1])
def test_a_key_that_is_rotated_half_way_is_read_again(s3: GuardedS3, node: Node, count: int) -> None:
    new = {"access_key_id": "new", "secret_access_key": "n"}
    rotate_after(s3, node, count, lambda: node.give(endpoint_url=s3.url, **new))
    given(s3, node, access_key_id="old", secret_access_key="o")
    assert [key_of(request) for request in s3.reads] == ["old"] * count + ["new"] * (PARTS - count)


def test_a_key_of_the_agents_own_file_is_read_again_too(
    s3: GuardedS3, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(key: str) -> None:
        (tmp_path / "keys").write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n")

    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "keys"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    write("old")
    rotate_after(s3, node, 2, lambda: write("new"))
    given(s3, node)
    assert [key_of(request) for request in s3.reads] == ["old"] * 2 + ["new"] * (PARTS - 2)


def test_a_key_that_is_refused_for_good_ends_in_a_state_and_heals(s3: GuardedS3, node: Node) -> None:
    s3.refuses = lambda request: key_of(request) == "old" and len(s3.reads) >= 2
    node.give(endpoint_url=s3.url, access_key_id="old", secret_access_key="o")
    node.run(
        node.failed("are refused (InvalidAccessKeyId); they are those of entry mine of secret"),
        lambda: node.give(endpoint_url=s3.url, access_key_id="new", secret_access_key="n"),
        node.downloaded,
    )
    assert node.content == CONTENT
    assert len(s3.reads) == PARTS


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The production log at its most talkative."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    levels = [(logger, logger.level) for logger in (root, *map(logging.getLogger, OUR_PACKAGES))]
    stream = io.StringIO()
    configure_logging("debug", "json", "cacheagent", stream=stream)
    yield stream
    root.handlers[:] = handlers
    for logger, level in levels:
        logger.setLevel(level)


def test_nothing_of_a_secret_is_told_through_all_that_fails(s3: GuardedS3, node: Node, log: io.StringIO) -> None:
    told = {"access_key_id": "AKSWORDFISH", "secret_access_key": "secret-swordfish", "session_token": "token-swordfish"}

    def given_for(url: str) -> Step:
        return lambda: node.give(endpoint_url=url, **told)

    def refused(when: Callable[[dict[str, Any]], bool]) -> Step:
        return lambda: setattr(s3, "refuses", when)

    s3.refuses = lambda request: True
    node.give_text(f"{{swordfish: {told}")
    node.run(
        node.failed("is not a JSON object"),
        given_for(s3.url),
        node.failed("are refused"),
        given_for("http://127.0.0.1:1"),
        node.failed("can't be reached"),
        refused(lambda request: len(s3.reads) >= 2 and bool(request.get("HTTP_RANGE"))),
        given_for(s3.url),
        node.failed("weights.bin: the credentials are refused"),
        refused(lambda request: False),
        node.downloaded,
    )
    for place in (log.getvalue(), node.everything()):
        assert "weights.bin" in place
        assert "swordfish" not in place.lower()
        assert "X-Amz-Signature" not in place
        assert "AWS4-HMAC" not in place
