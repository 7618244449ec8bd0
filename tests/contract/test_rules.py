"""CEL rules of custom resources."""

from __future__ import annotations

from typing import Any

from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import ContractApi, causes, refused
from cachesim.apiserver.testing_kinds import WIDGET


async def widget(api: ContractApi, name: str = "a", **spec: Any) -> JsonObject:
    return await api.create(WIDGET, {"metadata": {"name": name}, "spec": {"color": "red", **spec}})


async def test_a_failed_rule_says_its_message(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await widget(api, limit="much")
    assert errors[0].message == (
        'Widget.contract.localmodel.test "a" is invalid: spec.limit: Invalid value: "much": limit must be a quantity'
    )


async def test_quantities_compare(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await widget(api, limit="1025Mi")
    assert "limit may be at most 1Gi" in errors[0].message
    assert (await widget(api, limit="1024Mi"))["spec"]["limit"] == "1024Mi"


async def test_a_transition_rule_waits_for_an_update(api: ContractApi) -> None:
    await widget(api, origin="here")
    with refused(422, "Invalid") as errors:
        await api.merge(WIDGET, "a", {"spec": {"origin": "there"}})
    assert causes(errors[0]) == [("spec.origin", "FieldValueInvalid")]
    assert "origin is immutable" in errors[0].message


async def test_a_transition_rule_lets_a_field_be_set_first(api: ContractApi) -> None:
    await widget(api)
    changed = await api.merge(WIDGET, "a", {"spec": {"origin": "here"}})
    assert changed["spec"]["origin"] == "here"


async def test_an_optional_old_self_is_seen_at_creation(api: ContractApi) -> None:
    await widget(api, once="x")
    with refused(422, "Invalid") as errors:
        await api.merge(WIDGET, "a", {"spec": {"once": "y"}})
    assert "once is set once" in errors[0].message


async def test_a_rule_has_its_own_field_reason_and_words(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await widget(api, range={"low": 5, "high": 3})
    assert causes(errors[0]) == [("spec.range.low", "FieldValueForbidden")]
    assert "spec.range.low: Forbidden: high is below a low of five" in errors[0].message


async def test_a_rule_reads_a_field_that_is_a_word_of_cel(api: ContractApi) -> None:
    await widget(api, parts=[{"name": "p", "namespace": "allowed"}])
    with refused(422, "Invalid") as errors:
        await widget(api, name="b", parts=[{"name": "p", "namespace": "forbidden"}])
    assert causes(errors[0]) == [("spec.parts", "FieldValueInvalid")]


async def test_a_rule_at_the_root_reads_the_name(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await widget(api, name="a" * 41)
    assert "the name may have at most 40 characters" in errors[0].message


async def test_a_status_write_is_not_refused_for_the_spec(api: ContractApi) -> None:
    await widget(api, origin="here", limit="1Gi")
    after = await api.merge(WIDGET, "a", {"status": {"phase": "Done"}}, subresource="status")
    assert after["status"] == {"phase": "Done"}


async def test_a_failed_rule_shows_no_large_value(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await widget(api, parts=[{"name": "p", "namespace": "forbidden"}])
    assert "spec.parts: Invalid value: no part may be of the namespace forbidden" in errors[0].message


async def test_an_unsupported_value_leaves_rules_unchecked(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await api.create(WIDGET, {"metadata": {"name": "a"}, "spec": {"color": "pink", "limit": "much"}})
    assert "<nil>: Invalid value: null: some validation rules were not checked" in errors[0].message
