"""The functions that Kubernetes adds to CEL, and those of the string extension that the library lacks."""

from __future__ import annotations

import decimal
import ipaddress
import itertools
import re
import urllib.parse
from collections.abc import Callable
from typing import Any

from cachecore.quantity import QUANTITY_SUFFIXES

_QUANTITY = re.compile(r"^([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:([KMGTPE]i|[numkMGTPE])|[eE]([+-]?[0-9]+))?$")

# A quantity inside CEL is a map, because the library passes only CEL's own types through.
_Quantity = dict[str, str]


def _number(text: str) -> decimal.Decimal | None:
    found = _QUANTITY.match(text)
    if found is None:
        return None
    value = decimal.Decimal(found[1])
    return value.scaleb(int(found[3])) if found[3] else value * QUANTITY_SUFFIXES[found[2] or ""]


def _quantity(text: str) -> _Quantity:
    value = _number(text)
    if value is None:
        raise ValueError(f"quantities must match the regular expression of resource.Quantity: {text!r}")
    return {"quantity": str(value)}


def _is_quantity(text: str) -> bool:
    return _number(text) is not None


def _amount(value: Any) -> decimal.Decimal:
    return decimal.Decimal(value["quantity"] if isinstance(value, dict) else value)


def _compare_to(left: _Quantity, right: _Quantity) -> int:
    first, second = _amount(left), _amount(right)
    return (first > second) - (first < second)


def _sign(value: _Quantity) -> int:
    amount = _amount(value)
    return (amount > 0) - (amount < 0)


def _as_integer(value: _Quantity) -> int:
    amount = _amount(value)
    if amount != amount.to_integral_value():
        raise ValueError("cannot convert value to integer")
    return int(amount)


def _is_integer(value: _Quantity) -> bool:
    return _amount(value) == _amount(value).to_integral_value()


def _is_url(text: str) -> bool:
    parts = urllib.parse.urlsplit(text)
    return bool(parts.scheme and (parts.netloc or parts.path.startswith("/"))) or text.startswith("/")


def _url(text: str) -> dict[str, Any]:
    if not _is_url(text):
        raise ValueError(f"URL parse error during conversion from string: {text}")
    parts = urllib.parse.urlsplit(text)
    return {
        "scheme": parts.scheme,
        "host": parts.netloc.rpartition("@")[2],
        "hostname": parts.hostname or "",
        "port": str(parts.port or ""),
        "path": urllib.parse.unquote(parts.path),
        "query": urllib.parse.parse_qs(parts.query),
    }


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_cidr(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        raise ValueError(f"index out of range: {start}")
    return text[start:stop]


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [each[0] for each in re.finditer(pattern, text)]
    return found if limit < 0 else found[:limit]


def _find(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return found[0] if found else ""


def _index_of(value: Any, wanted: Any, start: int = 0) -> int:
    if isinstance(value, str):
        return value.find(wanted, start)
    return next((index for index, each in enumerate(value) if each == wanted), -1)


def _last_index_of(value: Any, wanted: Any) -> int:
    if isinstance(value, str):
        return value.rfind(wanted)
    return next((index for index in range(len(value) - 1, -1, -1) if value[index] == wanted), -1)


def _is_sorted(values: list[Any]) -> bool:
    return all(first <= second for first, second in itertools.pairwise(values))


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    return text.replace(old, new, limit)


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if not separator:
        return list(text)
    return text.split(separator, -1 if limit < 0 else max(0, limit - 1))


KUBERNETES_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "quantity": _quantity,
    "isQuantity": _is_quantity,
    "compareTo": _compare_to,
    "isGreaterThan": lambda left, right: _compare_to(left, right) > 0,
    "isLessThan": lambda left, right: _compare_to(left, right) < 0,
    "sign": _sign,
    "isInteger": _is_integer,
    "asInteger": _as_integer,
    "asApproximateFloat": lambda value: float(_amount(value)),
    "add": lambda left, right: {"quantity": str(_amount(left) + _amount(right))},
    "sub": lambda left, right: {"quantity": str(_amount(left) - _amount(right))},
    "url": _url,
    "isURL": _is_url,
    "getScheme": lambda url: url["scheme"],
    "getHost": lambda url: url["host"],
    "getHostname": lambda url: url["hostname"],
    "getPort": lambda url: url["port"],
    "getEscapedPath": lambda url: urllib.parse.quote(url["path"]),
    "getQuery": lambda url: url["query"],
    "isIP": _is_ip,
    "isCIDR": _is_cidr,
    "find": _find,
    "findAll": _find_all,
    "isSorted": _is_sorted,
    "sum": sum,
    "min": lambda *values: min(values[0] if len(values) == 1 else values),
    "max": lambda *values: max(values[0] if len(values) == 1 else values),
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "charAt": lambda text, index: _substring(text, index, min(index + 1, len(text))),
    "lowerAscii": lambda text: text.lower(),
    "upperAscii": lambda text: text.upper(),
    "replace": _replace,
    "split": _split,
    "join": lambda values, separator="": separator.join(values),
    "substring": _substring,
    "trim": lambda text: text.strip(),
    "reverse": lambda text: text[::-1],
}
