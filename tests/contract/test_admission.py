"""Admission webhooks: when they are asked, in which order, and what their answers do."""

from __future__ import annotations

from typing import Any

import pytest

from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import ContractApi, refused
from cachesim.apiserver.testing_kinds import GROUP, WIDGET
from cachesim.apiserver.testing_webhooks import add_label, allow, deny


async def widget(api: ContractApi, name: str = "a", **options: Any) -> JsonObject:
    return await api.create(WIDGET, {"metadata": {"name": name}, "spec": {"color": "red"}}, **options)


def labels(item: JsonObject) -> dict[str, str]:
    found: dict[str, str] = item["metadata"].get("labels", {})
    return found


async def test_a_mutating_webhook_changes_what_is_stored(api: ContractApi) -> None:
    api.webhooks.add("label", add_label("seen"))
    await api.webhooks.configure("a", "label")
    await widget(api)
    assert labels(await api.get(WIDGET, "a")) == {"seen": "1"}


async def test_configurations_are_asked_in_order_of_their_names(api: ContractApi) -> None:
    for word in ("one", "two", "three"):
        api.webhooks.add(word, lambda _: allow())
    await api.webhooks.configure("b", "two", "three")
    await api.webhooks.configure("a", "one")
    await widget(api)
    assert api.webhooks.called == ["one", "two", "three"]


async def test_a_mutating_webhook_sees_what_the_one_before_it_made(api: ContractApi) -> None:
    api.webhooks.add("first", add_label("first"))
    api.webhooks.add("second", lambda _: allow())
    await api.webhooks.configure("a", "first", "second")
    await widget(api)
    assert labels(api.webhooks.requests[-1]["object"]) == {"first": "1"}


async def test_a_webhook_sees_the_defaults(api: ContractApi) -> None:
    api.webhooks.add("look", lambda _: allow())
    await api.webhooks.configure("a", "look")
    await widget(api)
    assert api.webhooks.requests[0]["object"]["spec"] == {"color": "red", "replicas": 1}


async def test_what_a_webhook_adds_is_defaulted_and_pruned(api: ContractApi) -> None:
    parts = {"op": "add", "path": "/spec/parts", "value": [{"name": "p", "shape": "round"}]}
    api.webhooks.add("part", lambda _: allow(parts))
    await api.webhooks.configure("a", "part")
    assert (await widget(api))["spec"]["parts"] == [{"name": "p", "size": 1}]


async def test_the_mutated_object_is_validated(api: ContractApi) -> None:
    api.webhooks.add("paint", lambda _: allow({"op": "add", "path": "/spec/color", "value": "pink"}))
    await api.webhooks.configure("a", "paint")
    with refused(422, "Invalid") as errors:
        await widget(api)
    assert 'spec.color: Unsupported value: "pink"' in errors[0].message


async def test_mutating_webhooks_come_before_validating_ones(api: ContractApi) -> None:
    api.webhooks.add("check", lambda _: allow())
    api.webhooks.add("label", add_label("seen"))
    await api.webhooks.configure("a", "check", mutating=False)
    await api.webhooks.configure("b", "label")
    await widget(api)
    assert api.webhooks.called == ["label", "check"]
    assert labels(api.webhooks.requests[-1]["object"]) == {"seen": "1"}


async def test_a_validating_webhook_is_not_asked_about_what_is_invalid(api: ContractApi) -> None:
    api.webhooks.add("check", lambda _: allow())
    await api.webhooks.configure("a", "check", mutating=False)
    with refused(422):
        await api.create(WIDGET, {"metadata": {"name": "a"}, "spec": {"color": "pink"}})
    assert api.webhooks.called == []


async def test_every_validating_webhook_is_asked(api: ContractApi) -> None:
    api.webhooks.add("deny", lambda _: deny("no"))
    api.webhooks.add("allow", lambda _: allow())
    await api.webhooks.configure("a", "deny", "allow", mutating=False)
    with refused(403):
        await widget(api)
    assert sorted(api.webhooks.called) == ["allow", "deny"]


async def test_a_denial_ends_the_mutation(api: ContractApi) -> None:
    api.webhooks.add("deny", lambda _: deny("no"))
    api.webhooks.add("label", add_label("seen"))
    await api.webhooks.configure("a", "deny", "label")
    with refused(403):
        await widget(api)
    assert api.webhooks.called == ["deny"]


@pytest.mark.parametrize("mutating", [True, False])
async def test_a_denial_says_which_webhook_and_why(api: ContractApi, mutating: bool) -> None:
    api.webhooks.add("deny", lambda _: deny("no red widgets"))
    await api.webhooks.configure("a", "deny", mutating=mutating)
    with refused(403, "Forbidden") as errors:
        await widget(api)
    name = api.webhooks.name("deny")
    assert errors[0].message == f'admission webhook "{name}" denied the request: no red widgets'
    assert not await api.exists(WIDGET, "a")


async def test_a_denial_without_a_word_says_so(api: ContractApi) -> None:
    api.webhooks.add("deny", lambda _: {"allowed": False})
    await api.webhooks.configure("a", "deny")
    with refused(400) as errors:
        await widget(api)
    name = api.webhooks.name("deny")
    assert errors[0].message == f'admission webhook "{name}" denied the request without explanation'


async def test_a_denial_may_have_a_code_of_its_own(api: ContractApi) -> None:
    api.webhooks.add("deny", lambda _: deny("full", code=507, reason="Full"))
    await api.webhooks.configure("a", "deny", mutating=False)
    with refused(507, "Full"):
        await widget(api)


@pytest.mark.parametrize("mutating", [True, False])
async def test_warnings_come_with_the_answer(api: ContractApi, mutating: bool) -> None:
    api.webhooks.add("warn", lambda _: allow(warnings=["mind the gap", 'a "quoted" word']))
    await api.webhooks.configure("a", "warn", mutating=mutating)
    answer = await api.answer(WIDGET, {"metadata": {"name": "a"}, "spec": {"color": "red"}})
    assert answer.warnings == ("mind the gap", 'a "quoted" word')


async def test_a_webhook_is_asked_again_when_a_later_one_changed_the_object(api: ContractApi) -> None:
    api.webhooks.add("first", add_label("first"))
    api.webhooks.add("second", add_label("second"))
    await api.webhooks.configure("a", "first", reinvocationPolicy="IfNeeded")
    await api.webhooks.configure("b", "second")
    assert labels(await widget(api)) == {"first": "2", "second": "1"}


async def test_a_webhook_is_not_asked_again_without_its_wish(api: ContractApi) -> None:
    api.webhooks.add("first", add_label("first"))
    api.webhooks.add("second", add_label("second"))
    await api.webhooks.configure("a", "first", "second")
    assert labels(await widget(api)) == {"first": "1", "second": "1"}


async def test_a_webhook_is_not_asked_again_for_its_own_change(api: ContractApi) -> None:
    api.webhooks.add("first", add_label("first"))
    await api.webhooks.configure("a", "first", reinvocationPolicy="IfNeeded")
    assert labels(await widget(api)) == {"first": "1"}


async def test_two_that_always_change_are_asked_twice_at_most(api: ContractApi) -> None:
    api.webhooks.add("first", add_label("first"))
    api.webhooks.add("second", add_label("second"))
    await api.webhooks.configure("a", "first", "second", reinvocationPolicy="IfNeeded")
    assert labels(await widget(api)) == {"first": "2", "second": "2"}


async def test_a_dry_run_is_reviewed_as_one(api: ContractApi) -> None:
    api.webhooks.add("label", add_label("seen"))
    await api.webhooks.configure("a", "label", sideEffects="NoneOnDryRun")
    assert labels(await widget(api, dry_run=True)) == {"seen": "1"}
    assert api.webhooks.requests[-1]["dryRun"] is True


async def test_a_creation_is_reviewed(api: ContractApi) -> None:
    api.webhooks.add("look", lambda _: allow())
    await api.webhooks.configure("a", "look")
    await widget(api, field_manager="ann")
    request = api.webhooks.requests[0]
    kind = {"group": GROUP, "version": "v1", "kind": "Widget"}
    resource = {"group": GROUP, "version": "v1", "resource": "widgets"}
    assert (request["kind"], request["requestKind"]) == (kind, kind)
    assert (request["resource"], request["requestResource"]) == (resource, resource)
    assert (request["operation"], request["namespace"], request["name"]) == ("CREATE", api.namespace, "a")
    assert (request["oldObject"], request["dryRun"]) == (None, False)
    assert request["options"]["kind"] == "CreateOptions"
    assert request["options"]["fieldManager"] == "ann"
    assert "username" in request["userInfo"]


async def test_an_update_is_reviewed_with_the_old_object(api: ContractApi) -> None:
    await widget(api)
    api.webhooks.add("look", lambda _: allow())
    await api.webhooks.configure("a", "look", mutating=False)
    await api.merge(WIDGET, "a", {"spec": {"color": "blue"}})
    request = api.webhooks.requests[0]
    assert (request["operation"], request["options"]["kind"]) == ("UPDATE", "UpdateOptions")
    assert (request["object"]["spec"]["color"], request["oldObject"]["spec"]["color"]) == ("blue", "red")


async def test_a_deletion_is_reviewed_with_the_old_object(api: ContractApi) -> None:
    await widget(api)
    api.webhooks.add("keep", lambda _: deny("in use"))
    await api.webhooks.configure("a", "keep", mutating=False)
    with refused(403):
        await api.delete(WIDGET, "a")
    request = api.webhooks.requests[-1]
    assert (request["operation"], request["object"]) == ("DELETE", None)
    assert request["oldObject"]["metadata"]["name"] == "a"
    assert await api.exists(WIDGET, "a")


async def test_a_mutating_webhook_may_deny_a_deletion(api: ContractApi) -> None:
    await widget(api)
    api.webhooks.add("keep", lambda _: deny("in use"))
    await api.webhooks.configure("a", "keep")
    with refused(403):
        await api.delete(WIDGET, "a")


async def test_an_update_is_mutated_too(api: ContractApi) -> None:
    api.webhooks.add("label", add_label("seen"))
    await api.webhooks.configure("a", "label")
    created = await widget(api)
    changed = await api.update(WIDGET, {**created, "spec": {"color": "blue"}})
    assert labels(changed) == {"seen": "2"}
