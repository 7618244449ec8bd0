"""The digest's definition, held to values that must never change."""

from __future__ import annotations

from blake3 import blake3

from cachecore.store import digest


def test_parts_cover_a_file_without_gap() -> None:
    assert list(digest.part_ranges(20, 8)) == [(0, 8), (8, 8), (16, 4)]
    assert list(digest.part_ranges(16, 8)) == [(0, 8), (8, 8)]
    assert list(digest.part_ranges(0, 8)) == []


def test_a_file_digest_is_made_of_the_raw_part_digests() -> None:
    parts = [b"12345678", b"9"]
    raw = b"".join(blake3(part).digest() for part in parts)
    assert digest.file_digest(map(digest.part_digest, parts)) == blake3(raw).hexdigest()


def test_a_tree_digest_is_made_of_lines() -> None:
    lines = f"localmodel-tree/v1 8\n{'a' * 64} 3 b/a\n{'b' * 64} 2 ä\n"
    files = [digest.DigestedFile("ä", 2, "b" * 64), digest.DigestedFile("b/a", 3, "a" * 64)]
    assert digest.tree_digest(files, 8) == f"blake3:{blake3(lines.encode()).hexdigest()}"


def test_the_digest_of_a_known_model_never_changes() -> None:
    contents = {"config.json": b"{}", "sub/empty": b"", "weights.bin": bytes(range(256)) * 10}
    assert digest.digest_of_contents(contents, 1000) == (
        "blake3:b5727dc7160e0769f8e756dab68b7b24b5071294214441fc39c719b39ae7f8d7"
    )


def test_content_size_and_name_each_count() -> None:
    digests = {
        digest.digest_of_contents(contents)
        for contents in ({"a": b"x"}, {"a": b"y"}, {"b": b"x"}, {"a": b"x\0"}, {"a": b"x", "b": b""}, {})
    }
    assert len(digests) == 6
