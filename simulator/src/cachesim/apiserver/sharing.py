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
    # Comparing is done in C: looking at equal parts twice costs less than walking them once. 1 == 1.0 is let pass.
    if new == old:
        return old
    if kind is dict:
        return _share_object(new, old)
    return _share_list(new, old) if kind is list else new


def _share_object(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    return {key: share(value, old[key]) if key in old else value for key, value in new.items()}


def _share_list(new: list[Any], old: list[Any]) -> list[Any]:
    shared = [share(value, before) for value, before in zip(new, old, strict=False)]
    shared.extend(new[len(shared) :])
    return shared
