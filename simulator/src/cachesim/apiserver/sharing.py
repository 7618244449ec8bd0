"""Structure sharing: a new value that holds the old one's parts wherever they are equal."""

from __future__ import annotations

from typing import Any


def share(new: Any, old: Any) -> Any:
    """`new`, with every part that equals its counterpart in `old` replaced by it.

    Then "did this change?" is `is`, all the way down: validation, generation and the decoded-value cache rely on it.
    """
    if new is old:
        return old
    kind = type(new)
    if kind is not type(old):
        return new
    if kind is dict:
        return _share_object(new, old)
    if kind is list:
        return _share_list(new, old)
    return old if new == old else new


def _share_object(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    same = len(new) == len(old)
    shared: dict[str, Any] = {}
    for key, value in new.items():
        before = old.get(key, _ABSENT)
        if before is _ABSENT:
            same = False
            shared[key] = value
            continue
        kept = share(value, before)
        same = same and kept is before
        shared[key] = kept
    return old if same else shared


def _share_list(new: list[Any], old: list[Any]) -> list[Any]:
    shared = [share(value, before) for value, before in zip(new, old, strict=False)]
    if len(new) == len(old) and all(kept is before for kept, before in zip(shared, old, strict=True)):
        return old
    shared.extend(new[len(shared) :])
    return shared


_ABSENT: Any = object()
