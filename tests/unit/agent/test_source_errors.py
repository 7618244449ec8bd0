"""What drivers raise, in the words of a status: one line that tells a wrong name from a server that is away."""

from __future__ import annotations

import asyncio

import pytest

from cacheagent.adapters.s3_store import S3Store
from cacheagent.adapters.source_errors import translate
from cacheagent.adapters.web_store import WebStore
from cachecore.errors import LocalModelError, SourceNotFound, SourceUnavailable
from cachecore.ports import Credentials

# Port 9 (discard) of this machine: nobody listens there.
AWAY = "http://127.0.0.1:9"


def listed(uri: str, endpoint: str = AWAY) -> LocalModelError:
    """What comes of listing it."""

    async def main() -> LocalModelError:
        keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": endpoint}
        store = S3Store(Credentials(), keys) if uri.startswith("s3:") else WebStore(Credentials(), {})
        try:
            await store.list(uri)
        except LocalModelError as error:
            return error
        finally:
            await store.close()
        raise AssertionError(f"{uri} was listed")

    return asyncio.run(main())


@pytest.mark.parametrize("uri", [f"{AWAY}/model.bin", "s3://models/iris"])
def test_a_server_that_is_away_is_no_missing_file(uri: str) -> None:
    error = listed(uri)
    assert isinstance(error, SourceUnavailable)
    assert str(error).startswith(f"{uri}: the server can't be reached: ")
    assert "127.0.0.1:9" in str(error)


@pytest.mark.parametrize("uri", ["http:///model.bin", "http://[bad/model.bin", "s3:///iris", "s3://No_Bucket!/iris"])
def test_a_uri_that_is_no_address_is_said_to_be_none(uri: str) -> None:
    error = listed(uri)
    assert isinstance(error, SourceNotFound)
    assert str(error).startswith(f"{uri} is no address: check the host")


def test_an_endpoint_that_is_none_is_named() -> None:
    assert "Invalid endpoint: nonsense" in str(listed("s3://models/iris", endpoint="nonsense"))


def test_a_message_of_many_lines_becomes_one() -> None:
    assert str(translate(RuntimeError("first\nsecond"), "s3://models/iris")).endswith("RuntimeError: first second")


def test_a_message_about_a_signed_request_does_without_its_signature() -> None:
    error = translate(RuntimeError("no answer to https://s3/iris?X-Amz-Signature=swordfish"), "s3://models/iris")
    assert "https://s3/iris?X-Amz-Signature=" in str(error)
    assert "swordfish" not in str(error)
