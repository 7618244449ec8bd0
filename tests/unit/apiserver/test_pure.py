"""The pure parts: sharing, field sets, CEL functions, merge patches."""

from __future__ import annotations

from typing import Any

import pytest

from cachesim.apiserver.cel import Evaluator, RuleError, compile_rules
from cachesim.apiserver.fieldsets import compare, display, from_fields_v1, leaves, to_fields_v1
from cachesim.apiserver.patches import merge_patch
from cachesim.apiserver.shapes import CoreShape, shape_of
from cachesim.apiserver.sharing import share
from cachesim.apiserver.testing_kinds import WIDGET


def test_equal_parts_are_shared() -> None:
    old = {"a": {"x": [1, {"y": 2}]}, "b": {"z": 3}}
    new = share({"a": {"x": [1, {"y": 2}]}, "b": {"z": 4}}, old)
    assert new == {"a": {"x": [1, {"y": 2}]}, "b": {"z": 4}}
    assert new["a"] is old["a"]


def test_an_equal_value_is_the_old_one() -> None:
    old = {"a": [{"b": 1}]}
    assert share({"a": [{"b": 1}]}, old) is old


def test_items_that_follow_others_are_kept() -> None:
    old = [{"a": 1}, {"b": 2}]
    new = share([{"a": 1}, {"b": 3}, {"c": 4}], old)
    assert new == [{"a": 1}, {"b": 3}, {"c": 4}]
    assert new[0] is old[0]


def test_a_merge_patch_shares_what_it_does_not_name() -> None:
    target = {"a": {"x": 1}, "b": {"y": 2}}
    merged = merge_patch(target, {"b": {"y": None, "z": 3}})
    assert merged == {"a": {"x": 1}, "b": {"z": 3}}
    assert merged["a"] is target["a"]
    assert target["b"] == {"y": 2}


def test_field_sets_survive_their_wire_form() -> None:
    value = {"spec": {"parts": [{"name": "p", "size": 1}], "tags": ["x"], "order": ["a", "b"], "free": {}}}
    paths = leaves(value, shape_of(WIDGET))
    assert from_fields_v1(to_fields_v1(paths)) == dict.fromkeys(sorted(paths))


def test_a_difference_names_what_changed_and_what_went() -> None:
    old = {"spec": {"color": "red", "parts": [{"name": "p", "size": 1}], "title": "hi"}}
    new = {"spec": {"color": "blue", "parts": [{"name": "p", "size": 2}]}}
    difference = compare(old, new, shape_of(WIDGET))
    assert [display(path) for path in difference.changed] == [".spec.color", '.spec.parts[name="p"].size']
    assert [display(path) for path in difference.removed] == [".spec.title"]


def test_containers_are_owned_field_by_field() -> None:
    value = {"spec": {"containers": [{"name": "main", "image": "x"}], "nodeSelector": {"zone": "a"}}}
    assert [display(path) for path in leaves(value, CoreShape())] == [
        '.spec.containers[name="main"]',
        '.spec.containers[name="main"].name',
        '.spec.containers[name="main"].image',
        ".spec.nodeSelector",
    ]


@pytest.mark.parametrize(
    "rule, value, holds",
    [
        ("quantity(self).isGreaterThan(quantity('1Gi'))", "2Gi", True),
        ("quantity(self).compareTo(quantity('1000m')) == 0", "1", True),
        ("quantity(self).add(quantity('1Ki')).asInteger() == 2048", "1Ki", True),
        ("isQuantity(self)", "1 Gi", False),
        ("isURL(self) && url(self).getScheme() == 's3'", "s3://bucket/key", True),
        ("url(self).getHost() == 'bucket'", "s3://bucket/key", True),
        ("isURL(self)", "no url", False),
        ("self.split('/').size() == 3", "a/b/c", True),
        ("self.lowerAscii() == 'abc'", "ABC", True),
        ("self.find('[0-9]+') == '42'", "a42b", True),
        ("self.trim().startsWith('a')", "  a ", True),
        ("self.substring(1, 3) == 'bc'", "abcd", True),
        ("self.isSorted() && self.sum() == 6", [1, 2, 3], True),
        ("self.exists_one(x, x == 2) && self.all(x, x > 0)", [1, 2, 3], True),
        ("self.indexOf(3) == 2", [1, 2, 3], True),
    ],
)
def test_functions_of_kubernetes(rule: str, value: Any, holds: bool) -> None:
    errors = Evaluator().check(compile_rules([{"rule": rule}]), value, None, "string", "spec")
    assert (errors == []) is holds


def test_a_rule_that_fails_to_evaluate_is_an_error() -> None:
    (error,) = Evaluator().check(compile_rules([{"rule": "self.missing > 1"}]), {"a": 1}, None, "object", "spec")
    assert "no such key: missing evaluating rule: self.missing > 1" in error.message
    assert error.path == "spec"


def test_a_rule_that_is_no_cel_is_named() -> None:
    with pytest.raises(RuleError, match="compilation failed"):
        compile_rules([{"rule": "self ==="}])
