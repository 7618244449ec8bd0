"""The door before moto: who is let in, what is counted, and that its own answers are moto's."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from cachesim.localcluster.s3_door import COUNTERS_PATH, Door

KEY = "LOCALKEY"
SIGNED = f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/s3/aws4_request, Signature=0"
CONTENT = bytes(range(256)) * 8


class Reply:
    def __init__(self, status: str, headers: dict[str, str], body: bytes) -> None:
        self.status = int(status.split(maxsplit=1)[0])
        self.headers = headers
        self.body = body


Ask = Callable[..., Reply]


def moto_stub(_environment: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("418 Asked moto", [])
    return [b"moto"]


@pytest.fixture
def stored() -> Iterator[Any]:
    """An object in moto's own store."""
    with mock_aws():
        backend: Any = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        backend.create_bucket("models", "us-east-1")
        yield backend.put_object("models", "a/b é", CONTENT)


@pytest.fixture
def ask() -> Ask:
    door = Door(moto_stub, KEY)

    def send(method: str, path: str, query: str = "", authorization: str = SIGNED, **conditions: str) -> Reply:
        answered: list[Any] = []
        environment = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path.encode().decode("latin-1"),
            "QUERY_STRING": query,
            "HTTP_AUTHORIZATION": authorization,
            "wsgi.input": io.BytesIO(),
            **{f"HTTP_{name.upper()}": value for name, value in conditions.items()},
        }
        body = b"".join(door(environment, lambda status, sent: answered.append((status, dict(sent)))))
        status, headers = answered[0]
        return Reply(status, headers, body)

    return send


def counters(ask: Ask) -> dict[str, int]:
    return msgspec.json.decode(ask("GET", COUNTERS_PATH, authorization="").body, type=dict[str, int])


def test_a_whole_object_is_served(ask: Ask, stored: Any) -> None:
    reply = ask("GET", "/models/a/b é")
    assert (reply.status, reply.body) == (200, CONTENT)
    assert reply.headers["ETag"] == stored.etag


@pytest.mark.parametrize(
    "asked,first,last", [("bytes=0-9", 0, 9), ("bytes=100-", 100, 2047), ("bytes=2040-9999", 2040, 2047)]
)
def test_a_range_is_served(ask: Ask, stored: Any, asked: str, first: int, last: int) -> None:
    reply = ask("GET", "/models/a/b é", range=asked)
    assert (reply.status, reply.body) == (206, CONTENT[first : last + 1])
    assert reply.headers["Content-Range"] == f"bytes {first}-{last}/2048"


@pytest.mark.parametrize(
    "query,headers",
    [
        ("versionId=1", {}),
        ("acl", {}),
        ("", {"range": "bytes=9999-"}),
        ("", {"range": "bytes=-5"}),
        ("", {"if_match": '"other"'}),
        ("", {"if_none_match": "*"}),
    ],
)
def test_what_is_more_than_bytes_is_left_to_moto(ask: Ask, stored: Any, query: str, headers: dict[str, str]) -> None:
    assert ask("GET", "/models/a/b é", query, **headers).status == 418


@pytest.mark.parametrize("path", ["/models/none", "/none/a", "/models"])
def test_what_is_not_there_is_left_to_moto(ask: Ask, stored: Any, path: str) -> None:
    assert ask("GET", path).status == 418


def test_an_etag_that_matches_is_served(ask: Ask, stored: Any) -> None:
    assert ask("GET", "/models/a/b é", if_match=stored.etag).status == 200


def test_an_object_that_is_replaced_while_it_is_read_stays_whole(stored: Any) -> None:
    door = Door(moto_stub, KEY)
    environment = {"REQUEST_METHOD": "GET", "PATH_INFO": "/models/a/b Ã©", "HTTP_AUTHORIZATION": SIGNED}
    blocks = iter(door(environment, lambda *_: None))
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object("models", "a/b é", b"other")
    assert b"".join(blocks) == CONTENT


@pytest.mark.parametrize(
    "authorization,code", [("", b"AccessDenied"), (SIGNED.replace(KEY, "OTHER"), b"InvalidAccessKeyId")]
)
def test_whoever_has_another_key_is_refused(ask: Ask, authorization: str, code: bytes) -> None:
    reply = ask("GET", "/models/a", authorization=authorization)
    assert reply.status == 403
    assert code in reply.body


def test_a_presigned_url_is_let_in(ask: Ask) -> None:
    assert ask("GET", "/models/a", f"X-Amz-Credential={KEY}%2F20260101", authorization="").status == 418


def test_gets_lists_heads_and_puts_are_counted_apart(ask: Ask, stored: Any) -> None:
    ask("GET", "/models/a/b é", range="bytes=0-9")
    ask("GET", "/models", "list-type=2")
    ask("HEAD", "/models/a")
    ask("PUT", "/models/c")
    assert counters(ask) == {
        "get_requests": 1,
        "list_requests": 1,
        "head_requests": 1,
        "put_requests": 1,
        "bytes_served": 10,
    }


def test_who_is_refused_is_not_counted(ask: Ask) -> None:
    ask("GET", "/models/a", authorization="")
    assert counters(ask)["get_requests"] == 0
