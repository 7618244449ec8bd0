"""Which writes a webhook is asked about: rules, selectors, match conditions."""

from __future__ import annotations

from typing import Any

import pytest

from cachesim.apiserver.builtin import NAMESPACE
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import ContractApi, refused, typed
from cachesim.apiserver.testing_kinds import GROUP, WIDGET
from cachesim.apiserver.testing_webhooks import allow

# Of every test here: a webhook that is down fails the request when it is asked, and only then.


async def widget(api: ContractApi, **options: Any) -> JsonObject:
    return await api.create(WIDGET, {"metadata": {"name": "a"}, "spec": {"color": "red"}}, **options)


def rule(**fields: list[str] | str) -> JsonObject:
    return {"apiGroups": [GROUP], "apiVersions": ["v1"], "operations": ["*"], "resources": ["widgets"], **fields}


@pytest.mark.parametrize(
    "fields",
    [
        {"apiGroups": [""]},
        {"apiVersions": ["v2"]},
        {"operations": ["UPDATE", "DELETE"]},
        {"resources": ["gadgets"]},
        {"resources": ["widgets/status"]},
        {"scope": "Cluster"},
    ],
)
async def test_a_rule_for_something_else_does_not_match(api: ContractApi, fields: dict[str, Any]) -> None:
    await api.webhooks.configure("a", "down", rules=[rule(**fields)])
    assert (await widget(api))["metadata"]["uid"]


@pytest.mark.parametrize(
    "fields",
    [
        {"apiGroups": ["*"]},
        {"apiVersions": ["*"]},
        {"operations": ["CREATE"]},
        {"resources": ["*"]},
        {"resources": ["*/*"]},
        {"scope": "Namespaced"},
    ],
)
async def test_a_rule_for_it_matches(api: ContractApi, fields: dict[str, Any]) -> None:
    await api.webhooks.configure("a", "down", rules=[rule(**fields)])
    with refused(500):
        await widget(api)


async def test_a_rule_for_the_object_leaves_its_status_alone(api: ContractApi) -> None:
    await widget(api)
    await api.webhooks.configure("a", "down")
    after = await api.merge(WIDGET, "a", {"status": {"phase": "Done"}}, subresource="status")
    assert after["status"] == {"phase": "Done"}


async def test_a_rule_for_the_status_names_the_subresource(api: ContractApi) -> None:
    await widget(api)
    api.webhooks.add("look", lambda _: allow())
    await api.webhooks.configure("a", "look", rules=[rule(resources=["widgets/status"])])
    await api.merge(WIDGET, "a", {"status": {"phase": "Done"}}, subresource="status")
    assert [request["subResource"] for request in api.webhooks.requests] == ["status"]


async def test_an_object_selector_narrows(api: ContractApi) -> None:
    await api.webhooks.configure("a", "down", objectSelector={"matchLabels": {"app": "x"}})
    await widget(api)
    with refused(500):
        await api.merge(WIDGET, "a", {"metadata": {"labels": {"app": "x"}}})


async def test_an_object_selector_sees_the_old_object_as_well(api: ContractApi) -> None:
    await widget(api)
    await api.merge(WIDGET, "a", {"metadata": {"labels": {"app": "x"}}})
    await api.webhooks.configure("a", "down", objectSelector={"matchLabels": {"app": "x"}})
    with refused(500):
        await api.merge(WIDGET, "a", {"metadata": {"labels": None}})


async def test_a_namespace_selector_narrows(api: ContractApi) -> None:
    other = api.unique("other")
    await api.create(NAMESPACE, {"metadata": {"name": other, "labels": {"side": other}}})
    await api.webhooks.configure("a", "down", namespaceSelector={"matchLabels": {"side": other}})
    await widget(api)
    with refused(500):
        await api.verbs.create(
            WIDGET, typed(WIDGET, {"metadata": {"name": "a"}, "spec": {"color": "red"}}), namespace=other
        )


async def test_match_conditions_narrow(api: ContractApi) -> None:
    conditions = [
        {"name": "blue", "expression": "object.spec.color == 'blue'"},
        {"name": "update", "expression": "request.operation == 'UPDATE' && oldObject != null"},
    ]
    await api.webhooks.configure("a", "down", matchConditions=conditions)
    await widget(api)
    with refused(500):
        await api.merge(WIDGET, "a", {"spec": {"color": "blue"}})


async def test_a_match_condition_that_fails_may_be_ignored(api: ContractApi) -> None:
    api.webhooks.add("look", lambda _: allow())
    conditions = [{"name": "broken", "expression": "object.spec.missing == 'x'"}]
    await api.webhooks.configure("a", "look", matchConditions=conditions, failurePolicy="Ignore")
    assert (await widget(api))["metadata"]["uid"]
    assert api.webhooks.called == []


async def test_a_match_condition_that_fails_fails_the_request(api: ContractApi) -> None:
    api.webhooks.add("look", lambda _: allow())
    conditions = [{"name": "broken", "expression": "object.spec.missing == 'x'"}]
    await api.webhooks.configure("a", "look", matchConditions=conditions)
    with refused(403, "Forbidden") as errors:
        await widget(api)
    assert errors[0].message == (
        'widgets.contract.localmodel.test "a" is forbidden: '
        "expression 'object.spec.missing == 'x'' resulted in error: no such key: missing"
    )
    assert api.webhooks.called == []


async def test_one_condition_that_does_not_hold_is_enough(api: ContractApi) -> None:
    conditions = [
        {"name": "broken", "expression": "object.spec.missing == 'x'"},
        {"name": "blue", "expression": "object.spec.color == 'blue'"},
    ]
    await api.webhooks.configure("a", "down", matchConditions=conditions)
    assert (await widget(api))["metadata"]["uid"]
