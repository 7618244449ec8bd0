"""Where things are in a store, and which names may not be there."""

from __future__ import annotations

import pytest

from cachecore.errors import HostileName
from cachecore.store import layout

KEY = "0123456789abcdef"


@pytest.mark.parametrize("path", ["model.bin", "sub/folder/model.bin", "with space", "ünïcode", "a..b/..c", "-rf"])
def test_ordinary_names_are_accepted(path: str) -> None:
    layout.check_object_path(path)
    layout.check_object_paths([path])


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "..",
        "../x",
        "a/../../x",
        "./x",
        "a/./x",
        "a//x",
        "a/",
        "nul\0",
        "line\nfeed",
        "back\\slash",
        "\udcff",
        "x" * 256,
        "/".join(["folder"] * 400),
        ".localmodel/store",
        "a/.localmodel",
    ],
)
def test_hostile_names_are_refused(path: str) -> None:
    with pytest.raises(HostileName):
        layout.check_object_path(path)


@pytest.mark.parametrize(
    "paths",
    [
        ["Model.bin", "model.bin"],
        ["caf\u00e9", "cafe\u0301"],
        ["same", "same"],
        ["a", "a/b"],
        ["A", "a/b"],
        ["a/b", "a/b/c"],
    ],
)
def test_names_that_clash_are_refused(paths: list[str]) -> None:
    with pytest.raises(HostileName):
        layout.check_object_paths(paths)
    with pytest.raises(HostileName):
        layout.check_object_paths(reversed(paths))


def test_the_message_never_quotes_an_endless_name() -> None:
    with pytest.raises(HostileName) as caught:
        layout.check_object_path("x" * 100_000)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("text", ["", "models", "../../etc/passwd", KEY.upper(), KEY + "0", KEY[:-1] + "/"])
def test_what_is_no_key_is_not_taken_for_one(text: str) -> None:
    assert not layout.is_key(text)


@pytest.mark.parametrize(
    "path", [f"/data/{KEY}", f"/data/{KEY}/", f"/data/{KEY}/models/{KEY}", f"/data/{KEY}/models/{KEY}/"]
)
def test_a_copy_is_found_by_its_path(path: str) -> None:
    assert layout.locate(path) == ("/data", KEY)


@pytest.mark.parametrize("path", ["/data", f"/data/models/{KEY}", f"/data/{KEY}/models/fedcba9876543210", ""])
def test_what_is_no_copy_is_not_taken_for_one(path: str) -> None:
    assert layout.locate(path) is None
