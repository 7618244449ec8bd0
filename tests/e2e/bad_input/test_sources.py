"""Sources that are wrong: what the copy and the cache say of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cachesim.localcluster.testing_bench import Bench, cache_manifest


def said(bench: Bench, name: str, uri: str, reason: str, **spec: Any) -> str:
    """The sentence for a person, the same in the copy and in the cache; the cache is deleted again, which works too."""
    bench.cache(name, uri, **spec)
    message = bench.copy(uri, reason).message
    condition = bench.condition(name, "DownloadError")
    assert condition.message == f"the download failed, and is retried, on node-1: {message}"
    assert "\n" not in message
    assert bench.published(uri) == {}
    bench.delete(name)
    return message


def test_a_bucket_that_is_not_there(bench: Bench) -> None:
    message = said(bench, "no-bucket", "s3://nowhere/model", "SourceNotFound")
    assert message == "s3://nowhere/model: there is no bucket of that name (NoSuchBucket)"


def test_a_prefix_that_is_not_there(bench: Bench) -> None:
    message = said(bench, "no-prefix", "s3://models/none", "SourceNotFound")
    assert message == "there is no object below s3://models/none: check the bucket and the prefix"


def test_a_bucket_that_is_empty(bench: Bench) -> None:
    bench.put("empty", {})
    assert "no object below s3://empty" in said(bench, "empty", "s3://empty", "SourceNotFound")


def test_a_folder_that_is_empty(bench: Bench) -> None:
    bench.put("models", {"hollow/": b""})
    assert said(bench, "hollow", "s3://models/hollow", "SourceNotFound") == "s3://models/hollow holds no object"


def test_patterns_that_nothing_passes(bench: Bench) -> None:
    bench.put("models", {"patterns/weights.bin": b"x"})
    uri = "s3://models/patterns"
    message = said(bench, "patterns", uri, "SourceNotFound", allowPatterns=["*.safetensors"])
    assert message == f"none of the 1 objects below {uri} passes the model's patterns"


def test_a_server_that_is_away(bench: Bench) -> None:
    message = said(bench, "away", "http://127.0.0.1:9/model.bin", "SourceUnavailable")
    assert message.startswith("http://127.0.0.1:9/model.bin: the server can't be reached: ")


def test_a_file_of_the_node_where_none_is_allowed(bench: Bench) -> None:
    assert "--file-sources" in said(bench, "file", "file:///etc", "AccessDenied")


def test_a_bucket_that_is_made_later_heals_it(bench: Bench) -> None:
    uri = "s3://later/model"
    bench.cache("later", uri)
    bench.copy(uri, "SourceNotFound")
    bench.put("later", {"model/weights.bin": b"weights"})
    bench.ready("later")
    assert bench.published(uri) == {"weights.bin": b"weights"}


def test_credentials_that_are_refused(bench: Bench) -> None:
    wrong = {"parameters": {"access_key_id": "wrong", "secret_access_key": "wrong"}}
    message = said(bench, "refused", "s3://models/refused", "AccessDenied", storage=wrong)
    assert message == (
        "s3://models/refused: the credentials are refused (InvalidAccessKeyId); "
        "they are those of the cache's storage.parameters"
    )


def test_credentials_that_are_absent(bench: Bench) -> None:
    anonymous = {"parameters": {"anonymous": "true"}}
    message = said(bench, "anonymous", "s3://models/anonymous", "AccessDenied", storage=anonymous)
    assert message.startswith("s3://models/anonymous: the credentials are refused (AccessDenied)")


@pytest.mark.parametrize(
    "name, spec, words",
    [
        ("no-key", {"storage": {"key": "nothing"}}, "secret localmodel-system/storage-config has no entry nothing"),
        ("no-account", {"serviceAccountName": "nobody"}, "service account localmodel-system/nobody can't be read"),
    ],
)
def test_credentials_that_are_not_where_the_cache_says(
    bench: Bench, name: str, spec: dict[str, Any], words: str
) -> None:
    assert words in said(bench, name, f"s3://models/{name}", "AccessDenied", **spec)


def test_a_secret_that_is_put_right_heals_it(bench: Bench) -> None:
    bench.put("models", {"rotated/weights.bin": b"weights"})
    s3 = bench.cluster.s3

    def rotate(access_key: str) -> None:
        entry = {
            "type": "s3",
            "access_key_id": access_key,
            "secret_access_key": s3.secret_key,
            "endpoint_url": s3.endpoint_url,
        }
        metadata = {"name": "storage-config", "namespace": "localmodel-system"}
        values = {"rotated": json.dumps(entry)}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}
        bench.run(bench.cluster.apply(secret))

    rotate("expired")
    bench.cache("rotated", "s3://models/rotated", storage={"key": "rotated"})
    refused = bench.copy("s3://models/rotated", "AccessDenied").message
    assert refused.endswith("they are those of entry rotated of secret localmodel-system/storage-config")
    rotate(s3.access_key)
    bench.ready("rotated")


def test_two_caches_of_one_uri_with_other_credentials(bench: Bench) -> None:
    """One copy, fetched with whichever credentials are accepted; the copy says that they differ."""
    bench.put("models", {"shared/weights.bin": b"weights"})
    uri = "s3://models/shared"
    wrong = {"parameters": {"access_key_id": "wrong", "secret_access_key": "wrong"}}
    bench.cache("shared", uri, storage=wrong)
    bench.copy(uri, "AccessDenied")
    bench.cache("theirs", uri, namespace="default", storage={"key": "local-s3"})
    bench.ready("shared")
    bench.ready("theirs", "default")
    assert (
        "default/theirs names other credentials for the same URI; those of shared come first" in bench.copy(uri).message
    )


def test_the_second_of_two_such_caches_is_warned_of(bench: Bench, kubectl: Any) -> None:
    bench.put("models", {"warned/weights.bin": b"weights"})
    bench.cache("warned", "s3://models/warned")
    second = cache_manifest("warned-too", "s3://models/warned", storage={"key": "local-s3"})
    second["kind"] = "LocalModelNamespaceCache"
    second["metadata"]["namespace"] = "default"
    ended = kubectl.run("apply", "-f", "-", stdin=json.dumps(second))
    assert ended.returncode == 0
    assert ended.stderr == (
        "Warning: LocalModelCache warned holds the same URI with other credentials: "
        "they share one copy, fetched with either\n"
    )


def test_get_wide_and_describe_tell_it(bench: Bench, kubectl: Any) -> None:
    bench.cache("told", "s3://nowhere/told")
    words = "s3://nowhere/told: there is no bucket of that name (NoSuchBucket)"
    bench.condition("told", "DownloadError")
    assert words in kubectl("get", "lmc", "told", "-o", "wide")
    assert words in kubectl("describe", "lmc", "told")
    assert words in kubectl("describe", "lmn", "node-1")


def test_what_is_said_of_refused_credentials_shows_none(bench: Bench) -> None:
    assert bench.cluster.s3.secret_key not in bench.cluster.logs("agent-node-1", lines=100_000)
