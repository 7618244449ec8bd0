"""What somebody may post to the webhook's port, over TLS: a status code, one line, and the webhook goes on."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import urllib.parse
from typing import Any

import pytest

from cachesim.apiserver.builtin import VALIDATING_WEBHOOK
from cachesim.localcluster.testing_bench import Bench, cache_manifest

MUTATE = "/mutate-pods"
VALIDATE = "/validate-localmodels"
# The size of a body that the API server never sends.
HUGE_BYTES = 12 * 2**20


class Door:
    """The webhook's port, as the API server finds it and trusts it."""

    def __init__(self, bench: Bench) -> None:
        configuration = bench.run(bench.cluster.verbs.get(VALIDATING_WEBHOOK, "localmodel"))
        client = configuration["webhooks"][0]["clientConfig"]
        self.address = urllib.parse.urlsplit(client["url"])
        self._context = ssl.create_default_context(cadata=base64.b64decode(client["caBundle"]).decode())

    def post(self, path: str, body: bytes, content_type: str = "application/json") -> tuple[int, Any]:
        host, port = self.address.hostname, self.address.port
        assert host is not None
        connection = http.client.HTTPSConnection(host, port, context=self._context, timeout=30)
        try:
            connection.request("POST", path, body, {"content-type": content_type})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def door(bench: Bench) -> Door:
    return Door(bench)


def review(kind: str, content: Any, /, **changes: Any) -> bytes:
    request = {
        "uid": "1",
        "kind": {"group": "" if kind == "Pod" else "serving.kserve.io", "version": "v1", "kind": kind},
        "operation": "CREATE",
        "object": content,
    }
    whole = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    return json.dumps({**whole, **changes}).encode()


@pytest.mark.parametrize("path", [MUTATE, VALIDATE])
@pytest.mark.parametrize(
    "body, words",
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"null", "Expected `object`, got `null`"),
        (b"{}", "missing required field `request`"),
        (b"\xff\xfe", "the body is no AdmissionReview"),
        (b"[" * 100_000, "Expected `object`, got `array`"),
        (b'{"request":' * 50_000, "the body is no AdmissionReview"),
        (review("Pod", {}, apiVersion="admission.k8s.io/v1beta1"), "only AdmissionReview of admission.k8s.io/v1"),
        (review("Pod", {}, kind="Pod"), "only AdmissionReview of admission.k8s.io/v1"),
    ],
)
def test_what_is_no_review_is_refused_in_one_line(door: Door, path: str, body: bytes, words: str) -> None:
    code, answer = door.post(path, body)
    assert code == 400
    assert words in answer["error"]
    assert "\n" not in answer["error"]


@pytest.mark.parametrize(
    "path, body, words",
    [
        (MUTATE, review("Pod", {"spec": 5}), "request.object is no Pod"),
        (MUTATE, review("Pod", []), "request.object is no"),
        (VALIDATE, review("LocalModelCache", {"spec": 5}), "request.object is no LocalModelCache"),
        (VALIDATE, review("LocalModelCache", {"spec": {"nodeGroups": [{}]}}), "`$.spec.nodeGroups[0]`"),
        (
            VALIDATE,
            review("LocalModelNodeGroup", {"spec": {"storageLimit": []}}),
            "request.object is no LocalModelNode",
        ),
    ],
)
def test_an_object_that_is_none_is_refused_and_named(door: Door, path: str, body: bytes, words: str) -> None:
    code, answer = door.post(path, body)
    assert code == 400
    assert words in answer["error"]
    assert "\n" not in answer["error"]


@pytest.mark.parametrize("path", [MUTATE, VALIDATE])
def test_a_huge_body_is_refused(door: Door, path: str) -> None:
    assert door.post(path, b" " * HUGE_BYTES) == (413, {"error": "the body is larger than 8388608 bytes"})


def test_another_content_type_is_refused(door: Door) -> None:
    code, answer = door.post(MUTATE, b"a: b", content_type="application/yaml")
    assert (code, answer["error"]) == (415, "content type application/yaml is not read: send application/json")


def test_a_kind_that_is_not_ours_is_let_through(door: Door) -> None:
    code, answer = door.post(VALIDATE, review("Widget", {"spec": 5}))
    assert (code, answer["response"]["allowed"]) == (200, True)


def test_plain_http_is_not_answered(door: Door) -> None:
    host, port = door.address.hostname, door.address.port
    assert host is not None
    connection = http.client.HTTPConnection(host, port, timeout=30)
    connection.request("POST", MUTATE, b"{}", {"content-type": "application/json"})
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        connection.getresponse()
    connection.close()


def test_the_webhook_still_decides_after_all_of_it(door: Door, bench: Bench) -> None:
    door.post(MUTATE, b" " * HUGE_BYTES)
    content = cache_manifest("other", "ftp://host/model")
    code, answer = door.post(VALIDATE, review("LocalModelCache", content))
    assert code == 200
    assert not answer["response"]["allowed"]
    assert "no driver for ftp://" in answer["response"]["status"]["message"]
    assert "Traceback" not in bench.cluster.logs("webhook", lines=10_000)
