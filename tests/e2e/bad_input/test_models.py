"""Models that must not be taken: too large, not what they should be, or with names that would leave their folder."""

from __future__ import annotations

import pytest

from cachecore.ports import Patch
from cachecore.resources.serving import LocalModelCache
from cachesim.localcluster.testing_bench import NODE, Bench

OTHER_DIGEST = "blake3:" + "0" * 64


def files_of(bench: Bench) -> list[str]:
    """Everything on the node's disk that is not the store's own business, nor of the healthy model."""
    root = bench.cluster.node_root(NODE)
    found = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    return [str(path) for path in found if ".localmodel" not in path.parts and "models" not in path.parts]


def test_a_model_larger_than_the_limit_evicts_nothing(bench: Bench) -> None:
    """Its declared size is a lie: only the source tells."""
    bench.put("models", {"filler/weights.bin": bytes(10 * 2**20), "large/weights.bin": bytes(20 * 2**20)})
    bench.cache("filler", "s3://models/filler")
    bench.ready("filler")
    bench.cache("large", "s3://models/large", priority=1000)
    condition = bench.condition("large", "InsufficientStorage")
    copy = bench.copy("s3://models/large", "ModelLargerThanLimit")
    assert copy.state == "InsufficientStorage"
    assert copy.message == (
        "the model has 20.0 MiB, this node may hold 16.0 MiB: raise storageLimit, or use larger disks"
    )
    assert condition.message == f"the model can never fit on node-1: {copy.message}"
    assert bench.copy("s3://models/filler").state == "Downloaded"
    assert bench.published("s3://models/filler") == {"weights.bin": bytes(10 * 2**20)}
    assert not bench.staged("s3://models/large")
    bench.delete("large")
    bench.delete("filler")


def test_a_wrong_digest_publishes_nothing_and_a_right_one_does(bench: Bench) -> None:
    uri = "s3://models/digest"
    bench.put("models", {"digest/weights.bin": b"weights"})
    bench.cache("digest", uri, digest=OTHER_DIGEST)
    copy = bench.copy(uri, "DigestMismatch")
    assert copy.state == "DownloadError"
    found, _, rest = copy.message.removeprefix("the model has the digest ").partition(", ")
    assert rest == (
        f"the cache expects {OTHER_DIGEST}; nothing was published: put the source or the cache's digest right"
    )
    assert bench.published(uri) == {}
    assert not bench.staged(uri)

    bench.delete("digest")
    bench.cache("digest", uri, digest=found)
    bench.ready("digest")
    assert bench.published(uri) == {"weights.bin": b"weights"}
    assert bench.copy(uri).digest == found


def test_a_digest_that_is_corrected_in_place_is_tried_at_once(bench: Bench) -> None:
    uri = "s3://models/corrected"
    bench.put("models", {"corrected/weights.bin": b"weights"})
    bench.cache("corrected", uri, digest=OTHER_DIGEST)
    found = bench.copy(uri, "DigestMismatch").message.removeprefix("the model has the digest ").partition(", ")[0]
    bench.run(bench.cluster.client.patch(LocalModelCache, "corrected", Patch(body={"spec": {"digest": found}})))
    bench.ready("corrected")


@pytest.mark.parametrize(
    "folder, keys, words",
    [
        ("absolute", ["/etc/passwd"], "an object named '/etc/passwd', which is absolute"),
        ("dots", ["good.bin", "../../escaped"], "an object named '../../escaped', which has a component . or .."),
        ("nul", ["a\0b"], r"an object named 'a\x00b', which contains a NUL"),
        ("backslash", ["a\\b"], r"an object named 'a\\b', which contains a backslash"),
        ("long", ["x" * 300], "...(300 characters), which has a component longer than 255 bytes"),
        ("reserved", [".localmodel/store"], "which uses the reserved name .localmodel"),
        ("cases", ["Weights.bin", "weights.bin"], "'Weights.bin' and 'weights.bin', which differ only in case"),
        ("both", ["a", "a/b"], "'a' both as an object and as a folder of 'a/b'"),
    ],
)
def test_a_hostile_name_is_refused_before_a_byte_is_written(
    bench: Bench, folder: str, keys: list[str], words: str
) -> None:
    uri = f"s3://hostile/{folder}"
    bench.put("hostile", {f"{folder}/{key}": b"hostile" for key in keys})
    before = files_of(bench)
    bench.cache(f"hostile-{folder}", uri)
    message = bench.copy(uri, "HostileName").message
    assert words in message
    assert message.endswith("; nothing was downloaded")
    assert message.isprintable()
    assert bench.condition(f"hostile-{folder}", "DownloadError").message.endswith(message)
    assert bench.published(uri) == {}
    assert not bench.staged(uri)
    assert files_of(bench) == before
    bench.delete(f"hostile-{folder}")


def test_a_source_that_turns_hostile_leaves_the_copy_as_it_was(bench: Bench) -> None:
    """What is whole is not looked at again: the copy is what was verified."""
    bench.put("models", {"turning/weights.bin": b"weights"})
    bench.cache("turning", "s3://models/turning")
    bench.ready("turning")
    bench.put("models", {"turning/../../escaped": b"hostile"})
    bench.run(bench.cluster.agent(NODE).kill())
    bench.run(bench.cluster.agent(NODE).ready())
    bench.ready("turning")
    assert bench.published("s3://models/turning") == {"weights.bin": b"weights"}
