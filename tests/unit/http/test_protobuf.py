from __future__ import annotations

import pytest

from cachecore.errors import ApiError, Invalid
from cachesim.apiserver.http.content import PROTOBUF, decode_object
from cachesim.apiserver.http.protobuf import MAGIC, decode_protobuf


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def body(kind: bytes, content: bytes) -> bytes:
    return MAGIC + field(1, field(1, b"v1") + field(2, kind)) + field(2, content) + field(3, b"") + field(4, b"")


METADATA = field(1, field(1, b"one") + field(3, b"") + field(8, b"") + field(11, field(1, b"a") + field(2, b"b")))


def test_metadata_is_read_and_empty_texts_left_out() -> None:
    assert decode_protobuf(body(b"Namespace", METADATA + field(2, b"") + field(3, b""))) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "one", "labels": {"a": "b"}},
    }


def test_the_values_of_a_secret_are_base64() -> None:
    entry = field(2, field(1, b"key") + field(2, b"\xff"))
    decoded = decode_protobuf(body(b"Secret", METADATA + entry + field(3, b"Opaque") + field(5, 1)))
    assert decoded is not None
    assert (decoded["data"], decoded["type"], decoded["immutable"]) == ({"key": "/w=="}, "Opaque", True)


def test_a_kind_that_is_not_read_is_a_415_that_says_what_to_do() -> None:
    with pytest.raises(Invalid, match="kubectl apply -f") as caught:
        decode_object(body(b"Deployment", METADATA), PROTOBUF)
    assert caught.value.status_code == 415


@pytest.mark.parametrize(
    "broken",
    [
        b"no magic",
        MAGIC + b"\x0a",
        MAGIC + b"\x0a\xff\x01",
        MAGIC + b"\x0b",
        MAGIC + b"\xff" * 20,
        body(b"Namespace", b"\x08\x01"),
        body(b"Namespace", field(1, field(1, b"\xff"))),
    ],
)
def test_a_broken_body_is_a_400(broken: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        decode_object(broken, PROTOBUF)
    assert caught.value.status_code == 400
