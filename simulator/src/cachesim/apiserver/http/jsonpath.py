"""The part of JSONPath that printer columns use: fields, quoted fields, indexes, wildcards, and equality filters."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import Any

from cachecore.errors import InvalidInput

Step = Callable[[Any], Iterable[Any]]

_TOKEN = re.compile(
    r"""
    (?P<all>\[\*\]|\.\*)                            # [*], .*
  | \.(?P<field>(?:[^.\[\]\s\\]|\\.)+)              # .name, .kubernetes\.io/name
  | \[(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\]    # ['name']
  | \[(?P<index>-?\d+)\]                            # [0], [-1]
  | \[\?\(\s*@(?P<path>[^=!<>]*?)\s*(?P<operator>==|!=)\s*(?P<literal>.+?)\s*\)\]
    """,
    re.VERBOSE,
)


def find(content: Any, path: str) -> list[Any]:
    """Every value at `path`, in order. Raises InvalidInput for a path outside of the subset."""
    values = [content]
    for step in parse(path):
        values = [found for value in values for found in step(value)]
    return values


@functools.lru_cache(maxsize=1024)
def parse(path: str) -> tuple[Step, ...]:
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    steps: list[Step] = []
    position = 0
    if text and text[0] not in ".[":
        text = f".{text}"
    while position < len(text) and text != ".":
        token = _TOKEN.match(text, position)
        if token is None:
            raise InvalidInput(f"the JSONPath {path!r} is not understood at {text[position:]!r}")
        steps.append(_step(token))
        position = token.end()
    return tuple(steps)


def _step(token: re.Match[str]) -> Step:
    if token["field"] is not None:
        return _field(re.sub(r"\\(.)", r"\1", token["field"]))
    if token["quoted"] is not None:
        return _field(token["quoted"])
    if token["index"] is not None:
        return _index(int(token["index"]))
    if token["all"] is not None:
        return _each
    return _filter(token["path"], token["operator"] == "==", _literal(token["literal"]))


def _field(name: str) -> Step:
    def step(value: Any) -> Iterable[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _index(number: int) -> Step:
    def step(value: Any) -> Iterable[Any]:
        if isinstance(value, list) and -len(value) <= number < len(value):
            yield value[number]

    return step


def _each(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _filter(path: str, equal: bool, literal: Any) -> Step:
    inner = parse(path)

    def step(value: Any) -> Iterable[Any]:
        for candidate in _each(value):
            found = [candidate]
            for each in inner:
                found = [result for item in found for result in each(item)]
            if bool(found and found[0] == literal) is equal:
                yield candidate

    return step


def _literal(text: str) -> Any:
    if text[0] in "'\"" and text[-1] == text[0]:
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text
