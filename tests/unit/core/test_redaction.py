from __future__ import annotations

import json

import pytest

from cachecore.redaction import HIDDEN, redact


@pytest.mark.parametrize(
    "text",
    [
        "GET https://b.s3/x?X-Amz-Credential=swordfish%2Fs3&X-Amz-Date=1&X-Amz-Signature=swordfish",
        "url='https://a.blob/x?sv=1&sig=swordfish'",
        "https://cdn/x?Expires=1&Signature=swordfish~&Key-Pair-Id=swordfish",
        "cannot connect to https://me:swordfish@host/x",
        "Authorization: AWS4-HMAC-SHA256 Credential=a, Signature=swordfish",
        "{'Authorization': 'Bearer swordfish', 'Range': 'bytes=0-1'}",
        "[(b'X-Amz-Security-Token', b'swordfish')]",
        r"Invalid header value b'Bearer swordfish\n'",
        "-----BEGIN RSA PRIVATE KEY-----\nswordfish\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_what_lets_its_reader_in_is_hidden(text: str) -> None:
    assert "swordfish" not in redact(text)
    assert HIDDEN in redact(text)
    assert json.loads(redact(json.dumps({"text": text, "next": 1})))["next"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "s3://models/iris/model.bin: the store answered 503 (SlowDown)",
        "https://host/x?revision=1&download=true",
        "the credentials are refused; they are those of entry mine of secret team/storage-config",
        "mail me@host, authorization is needed",
    ],
)
def test_the_rest_is_left_alone(text: str) -> None:
    assert redact(text) == text
