"""Which objects are the model."""

from __future__ import annotations

import pytest

from cacheagent.listing import Listing, select
from cachecore.errors import HostileName, SourceNotFound
from cachecore.ports import ObjectInfo


def choose(*paths: str, allow: tuple[str, ...] = (), ignore: tuple[str, ...] = ()) -> Listing:
    objects = [
        ObjectInfo(path=path, location=f"s3://m/{path}", size_bytes=0 if path.endswith("/") else 5) for path in paths
    ]
    return select("s3://m", objects, allow_patterns=allow, ignore_patterns=ignore)


def paths_of(listing: Listing) -> list[str]:
    return [item.path for item in listing.objects]


def test_everything_is_the_model_without_patterns() -> None:
    assert paths_of(choose("b", "a/c")) == ["a/c", "b"]


def test_folder_markers_are_no_files() -> None:
    assert paths_of(choose("sub/", "sub/a")) == ["sub/a"]


def test_allowed_patterns_choose() -> None:
    assert paths_of(choose("a.bin", "b.json", "sub/c.json", allow=("*.json",))) == ["b.json", "sub/c.json"]


def test_ignored_patterns_win() -> None:
    assert paths_of(choose("a.json", "b.json", allow=("*.json",), ignore=("b*",))) == ["a.json"]


def test_patterns_that_leave_nothing_are_an_error() -> None:
    with pytest.raises(SourceNotFound, match="none of the 1 objects"):
        choose("a.bin", allow=("*.json",))


def test_an_empty_prefix_is_an_error() -> None:
    with pytest.raises(SourceNotFound, match="no object"):
        choose("sub/")


def test_a_hostile_name_is_refused() -> None:
    with pytest.raises(HostileName):
        choose("a.bin", "../evil")


def test_a_hostile_name_may_be_left_out() -> None:
    assert paths_of(choose("a.bin", "../evil", ignore=("*evil",))) == ["a.bin"]


def test_the_size_is_the_sum() -> None:
    assert choose("a", "b").size_bytes == 10
