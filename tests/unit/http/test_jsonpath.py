from __future__ import annotations

from typing import Any

import pytest

from cachecore.errors import InvalidInput
from cachesim.apiserver.http.jsonpath import find

CACHE = {
    "metadata": {"annotations": {"a.b/c": "d"}},
    "spec": {"nodeGroups": ["one", "two"], "pinned": True},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Degraded", "status": "False"}]},
}


@pytest.mark.parametrize(
    "path,found",
    [
        (".spec.pinned", [True]),
        ("{.spec.pinned}", [True]),
        ("$.spec.pinned", [True]),
        ("spec.pinned", [True]),
        (".spec.nodeGroups[0]", ["one"]),
        (".spec.nodeGroups[-1]", ["two"]),
        (".spec.nodeGroups[*]", ["one", "two"]),
        (".spec.nodeGroups[5]", []),
        (".spec.absent.deeper", []),
        (r".metadata.annotations.a\.b/c", ["d"]),
        (".metadata.annotations['a.b/c']", ["d"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type!='Ready')].status", ["False"]),
        (".status.conditions[?(@.type == 'None')].status", []),
    ],
)
def test_a_path_finds(path: str, found: list[Any]) -> None:
    assert find(CACHE, path) == found


def test_a_path_that_is_not_understood_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"\[1:2\]"):
        find(CACHE, ".spec.nodeGroups[1:2]")
