"""Webhooks that can't be asked, don't answer, or answer what nobody understands."""

from __future__ import annotations

from typing import Any

import pytest

from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import ContractApi, refused
from cachesim.apiserver.testing_kinds import WIDGET
from cachesim.apiserver.testing_webhooks import DOWN, add_label, allow


async def widget(api: ContractApi) -> JsonObject:
    return await api.create(WIDGET, {"metadata": {"name": "a"}, "spec": {"color": "red"}})


@pytest.mark.parametrize("mutating", [True, False])
async def test_a_webhook_that_is_down_fails_the_request(api: ContractApi, mutating: bool) -> None:
    await api.webhooks.configure("a", "down", mutating=mutating)
    with refused(500, "InternalError") as errors:
        await widget(api)
    name = api.webhooks.name("down")
    assert errors[0].message.startswith(
        f'Internal error occurred: failed calling webhook "{name}": failed to call webhook: Post "{DOWN}'
    )
    assert not await api.exists(WIDGET, "a")


@pytest.mark.parametrize("mutating", [True, False])
async def test_a_webhook_that_is_down_may_be_ignored(api: ContractApi, mutating: bool) -> None:
    await api.webhooks.configure("a", "down", mutating=mutating, failurePolicy="Ignore")
    assert (await widget(api))["metadata"]["uid"]


async def test_the_others_are_asked_when_one_is_ignored(api: ContractApi) -> None:
    api.webhooks.add("label", add_label("seen"))
    await api.webhooks.configure("a", "down", failurePolicy="Ignore")
    await api.webhooks.configure("b", "label")
    assert (await widget(api))["metadata"]["labels"] == {"seen": "1"}


async def test_a_slow_webhook_is_given_up(api: ContractApi) -> None:
    api.webhooks.add("slow", add_label("seen"), delay_seconds=20)
    await api.webhooks.configure("a", "slow", timeoutSeconds=1)
    before = api.runtime.monotonic()
    with refused(500, "InternalError") as errors:
        await widget(api)
    assert "context deadline exceeded" in errors[0].message
    assert 1.0 <= api.runtime.monotonic() - before < 10.0


async def test_a_slow_webhook_may_be_ignored(api: ContractApi) -> None:
    api.webhooks.add("slow", add_label("seen"), delay_seconds=20)
    await api.webhooks.configure("a", "slow", timeoutSeconds=1, failurePolicy="Ignore")
    assert "labels" not in (await widget(api))["metadata"]


async def test_an_answer_to_another_request_is_a_failure(api: ContractApi) -> None:
    api.webhooks.add("wrong", lambda _: {"uid": "other", "allowed": True})
    await api.webhooks.configure("a", "wrong")
    with refused(500, "InternalError") as errors:
        await widget(api)
    assert "expected response.uid=" in errors[0].message


async def test_a_patch_that_can_not_be_applied_is_a_failure(api: ContractApi) -> None:
    api.webhooks.add("patch", lambda _: allow({"op": "remove", "path": "/spec/title"}))
    await api.webhooks.configure("a", "patch")
    with refused(500, "InternalError"):
        await widget(api)


async def test_a_patch_without_its_type_is_a_failure(api: ContractApi) -> None:
    api.webhooks.add("patch", lambda _: {"allowed": True, "patch": "W10="})
    await api.webhooks.configure("a", "patch")
    with refused(500, "InternalError") as errors:
        await widget(api)
    assert "patchType" in errors[0].message


async def test_a_validating_webhook_has_no_patch(api: ContractApi) -> None:
    api.webhooks.add("patch", add_label("seen"))
    await api.webhooks.configure("a", "patch", mutating=False)
    with refused(500, "InternalError"):
        await widget(api)


@pytest.mark.parametrize(
    "fields, fault",
    [
        ({"sideEffects": "Some"}, 'webhooks[0].sideEffects: Unsupported value: "Some"'),
        ({"admissionReviewVersions": []}, "webhooks[0].admissionReviewVersions: Required value"),
        ({"timeoutSeconds": 31}, "webhooks[0].timeoutSeconds: Invalid value: 31"),
        ({"failurePolicy": "Retry"}, 'webhooks[0].failurePolicy: Unsupported value: "Retry"'),
        (
            {"matchConditions": [{"name": "broken", "expression": "object.spec =="}]},
            "webhooks[0].matchConditions[0].expression: Invalid value",
        ),
    ],
)
async def test_a_configuration_that_makes_no_sense_is_refused(
    api: ContractApi, fields: dict[str, Any], fault: str
) -> None:
    with refused(422, "Invalid") as errors:
        await api.webhooks.configure("a", "down", **fields)
    assert fault in errors[0].message


async def test_a_webhook_has_a_qualified_name(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await api.webhooks.configure("a", "Down!")
    assert "webhooks[0].name: Invalid value" in errors[0].message
