"""Custom resources against their schema: pruning, defaults, validation, in the real server's words."""

from __future__ import annotations

from typing import Any

import pytest

from cachesim.apiserver.builtin import CONFIG_MAP
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import ContractApi, causes, refused
from cachesim.apiserver.testing_kinds import WIDGET


async def widget(api: ContractApi, **spec: Any) -> JsonObject:
    return await api.create(WIDGET, {"metadata": {"name": "a"}, "spec": {"color": "red", **spec}})


async def test_unknown_fields_are_pruned_with_a_warning(api: ContractApi) -> None:
    body = {"metadata": {"name": "a"}, "spec": {"color": "red", "shape": "round", "parts": [{"name": "p", "x": 1}]}}
    answer = await api.answer(WIDGET, body, field_validation="Warn")
    assert "shape" not in answer.object["spec"]
    assert "x" not in answer.object["spec"]["parts"][0]
    assert answer.warnings == ('unknown field "spec.parts[0].x"', 'unknown field "spec.shape"')


async def test_unknown_fields_are_refused_strictly(api: ContractApi) -> None:
    body = {"metadata": {"name": "a"}, "spec": {"color": "red", "shape": "round"}}
    with refused(400, "BadRequest") as errors:
        await api.create(WIDGET, body, field_validation="Strict")
    assert 'strict decoding error: unknown field "spec.shape"' in errors[0].message


async def test_unknown_fields_are_pruned_in_silence(api: ContractApi) -> None:
    body = {"metadata": {"name": "a"}, "spec": {"color": "red", "shape": "round"}}
    answer = await api.answer(WIDGET, body, field_validation="Ignore")
    assert answer.warnings == ()
    assert "shape" not in answer.object["spec"]


async def test_free_fields_are_kept(api: ContractApi) -> None:
    created = await widget(api, free={"any": {"thing": [1, "two"]}})
    assert created["spec"]["free"] == {"any": {"thing": [1, "two"]}}


async def test_defaults_are_filled_in_at_every_depth(api: ContractApi) -> None:
    created = await widget(api, parts=[{"name": "p"}], range={})
    assert created["spec"]["replicas"] == 1
    assert created["spec"]["parts"] == [{"name": "p", "size": 1}]
    assert created["spec"]["range"] == {"low": 1}


async def test_a_null_gets_the_default(api: ContractApi) -> None:
    created = await widget(api, replicas=None)
    assert created["spec"]["replicas"] == 1


async def test_a_nullable_field_may_be_null(api: ContractApi) -> None:
    created = await widget(api, note=None)
    assert created["spec"]["note"] is None


@pytest.mark.parametrize("size", [3, "3Gi"])
async def test_a_field_may_be_integer_or_string(api: ContractApi, size: int | str) -> None:
    assert (await widget(api, size=size))["spec"]["size"] == size


@pytest.mark.parametrize(
    "spec, field, reason, message",
    [
        (
            {"color": "pink"},
            "spec.color",
            "FieldValueNotSupported",
            'Unsupported value: "pink": supported values: "red", "green", "blue"',
        ),
        (
            {"replicas": "two"},
            "spec.replicas",
            "FieldValueTypeInvalid",
            'Invalid value: "string": spec.replicas in body must be of type integer: "string"',
        ),
        (
            {"title": "x"},
            "spec.title",
            "FieldValueInvalid",
            'Invalid value: "x": spec.title in body should be at least 2 chars long',
        ),
        ({"title": "abcdefghi"}, "spec.title", "FieldValueTooLong", "Too long: may not be more than 8 bytes"),
        (
            {"title": "ABC"},
            "spec.title",
            "FieldValueInvalid",
            "Invalid value: \"ABC\": spec.title in body should match '^[a-z]*$'",
        ),
        (
            {"parts": [{"name": "p", "size": 0}]},
            "spec.parts[0].size",
            "FieldValueInvalid",
            "Invalid value: 0: spec.parts[0].size in body should be greater than or equal to 1",
        ),
        (
            {"parts": [{"name": "p", "size": 101}]},
            "spec.parts[0].size",
            "FieldValueInvalid",
            "Invalid value: 101: spec.parts[0].size in body should be less than or equal to 100",
        ),
        (
            {"order": []},
            "spec.order",
            "FieldValueInvalid",
            "Invalid value: 0: spec.order in body should have at least 1 items",
        ),
        ({"tags": ["a", "b", "c", "d"]}, "spec.tags", "FieldValueTooMany", "Too many: 4: must have at most 3 items"),
        ({"tags": ["a", "a"]}, "spec.tags[1]", "FieldValueDuplicate", 'Duplicate value: "a"'),
        (
            {"settings": {"a": "1", "b": "2", "c": "3"}},
            "spec.settings",
            "FieldValueTooMany",
            "Too many: 3: must have at most 2 items",
        ),
        ({"parts": [{"size": 1}]}, "spec.parts[0].name", "FieldValueRequired", "Required value"),
    ],
)
async def test_a_wrong_value_is_named(
    api: ContractApi, spec: dict[str, Any], field: str, reason: str, message: str
) -> None:
    with refused(422, "Invalid") as errors:
        await widget(api, **spec)
    assert (field, reason) in causes(errors[0])
    assert f"{field}: {message}" in errors[0].message


async def test_a_missing_field_is_named(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await api.create(WIDGET, {"metadata": {"name": "a"}, "spec": {}})
    assert errors[0].message.startswith('Widget.contract.localmodel.test "a" is invalid: ')
    assert "spec.color: Required value" in errors[0].message


async def test_keys_of_a_list_are_unique(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await widget(api, parts=[{"name": "p"}, {"name": "p"}])
    assert causes(errors[0]) == [("spec.parts[1]", "FieldValueDuplicate")]


async def test_rules_wait_for_a_valid_object(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await widget(api, replicas="two", limit="much")
    assert "some validation rules were not checked because the object was invalid" in errors[0].message
    assert "limit must be a quantity" not in errors[0].message


async def test_a_status_is_validated_too(api: ContractApi) -> None:
    await widget(api)
    with refused(422, "Invalid") as errors:
        await api.merge(WIDGET, "a", {"status": {"phase": 3}}, subresource="status")
    assert ("status.phase", "FieldValueTypeInvalid") in causes(errors[0])


async def test_a_value_that_is_no_date_is_refused(api: ContractApi) -> None:
    with refused(422, "Invalid"):
        await widget(api, since="yesterday")
    assert (await widget(api, since="2026-01-02T03:04:05Z"))["spec"]["since"] == "2026-01-02T03:04:05Z"


async def test_unknown_metadata_is_pruned_with_a_warning(api: ContractApi) -> None:
    body = {"metadata": {"name": "a", "mood": "good"}, "spec": {"color": "red"}}
    answer = await api.answer(WIDGET, body, field_validation="Warn")
    assert "mood" not in answer.object["metadata"]
    assert answer.warnings == ('unknown field "metadata.mood"',)


async def test_a_built_in_kinds_unknown_fields_are_pruned_too(api: ContractApi) -> None:
    body = {"metadata": {"name": "a"}, "data": {"key": "1"}, "colour": "red"}
    answer = await api.answer(CONFIG_MAP, body, field_validation="Warn")
    assert "colour" not in answer.object
    assert answer.warnings == ('unknown field "colour"',)


async def test_a_built_in_kind_may_leave_out_its_name(api: ContractApi) -> None:
    answer = await api.verbs.create(CONFIG_MAP, {"metadata": {"name": "a"}}, namespace=api.namespace)
    assert (answer.object["apiVersion"], answer.object["kind"]) == ("v1", "ConfigMap")


async def test_a_custom_resource_says_what_it_is(api: ContractApi) -> None:
    body = {"metadata": {"name": "a"}, "spec": {"color": "red"}}
    with refused(400, "BadRequest") as errors:
        await api.verbs.create(WIDGET, body, namespace=api.namespace)
    assert "Object 'Kind' is missing" in errors[0].message
