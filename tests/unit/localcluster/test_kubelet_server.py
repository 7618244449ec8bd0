"""The logs of containers, as the API server asks a kubelet for them."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachesim.apiserver import ApiServer
from cachesim.apiserver.builtin import POD
from cachesim.apiserver.errors import bad_request
from cachesim.apiserver.resources import JsonObject
from cachesim.host.certificates import ServerCertificate, make_certificate
from cachesim.localcluster.kubelet_server import KubeletServer


class Logs:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def read(
        self, pod: JsonObject, container: str, *, follow: bool, tail_lines: int | None, previous: bool
    ) -> AsyncIterator[bytes]:
        self.asked.append((pod["metadata"]["name"], container, follow, tail_lines, previous))
        if container == "none":
            raise bad_request('container "none" has no log')
        yield b"one\n"
        yield b"two\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    directory = tmp_path_factory.mktemp("tls")
    made = make_certificate(directory, ("127.0.0.1",), now=datetime.datetime.now(datetime.UTC), of_client=True)
    (directory / "ca.crt").write_bytes(made.authority)
    return made


def ask(certificate: ServerCertificate, path: str, logs: Logs, *, known: bool = True) -> tuple[int, str]:
    """The answer's code and text; `known` shows the certificate that the server knows its caller by."""

    async def main() -> tuple[int, str]:
        server = ApiServer(AsyncioRuntime())
        pod: JsonObject = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
        spec = {"containers": [{"name": "main", "image": "busybox:1"}]}
        await server.create(POD, {**pod, "spec": spec}, namespace="default")
        tls = ssl.create_default_context(cadata=certificate.authority.decode())
        if known:
            tls.load_cert_chain(certificate.certificate, certificate.private_key)
        kubelet = KubeletServer(
            server,
            logs,
            certificate=certificate.certificate,
            private_key=certificate.private_key,
            authority=certificate.certificate.with_name("ca.crt"),
        )
        async with kubelet, aiohttp.ClientSession(f"https://127.0.0.1:{kubelet.port}") as session:
            response = await session.get(path, ssl=tls)
            return response.status, await response.text()

    return asyncio.run(main())


def test_a_log_is_read_in_whole(certificate: ServerCertificate) -> None:
    assert ask(certificate, "/containerLogs/default/a/main", Logs()) == (200, "one\ntwo\n")


def test_what_was_asked_is_passed_on(certificate: ServerCertificate) -> None:
    logs = Logs()
    ask(certificate, "/containerLogs/default/a/main?follow=true&tailLines=3&previous=true", logs)
    assert logs.asked == [("a", "main", True, 3, True)]


def test_a_log_that_is_not_there_is_a_bad_request(certificate: ServerCertificate) -> None:
    assert ask(certificate, "/containerLogs/default/a/none", Logs()) == (400, 'container "none" has no log')


def test_a_pod_that_is_not_there_is_not_found(certificate: ServerCertificate) -> None:
    assert ask(certificate, "/containerLogs/default/b/main", Logs()) == (404, 'pods "b" not found')


def test_a_stranger_is_not_let_in(certificate: ServerCertificate) -> None:
    logs = Logs()
    with pytest.raises(aiohttp.ClientError):
        ask(certificate, "/containerLogs/default/a/main", logs, known=False)
    assert logs.asked == []
