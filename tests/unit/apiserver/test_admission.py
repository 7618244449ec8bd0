"""Admission webhooks: order, patches, denial, failure, reinvocation."""

from __future__ import annotations

from typing import Any

from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import ContractApi, refused, typed
from cachesim.apiserver.testing_cluster import Cluster, add_label, allow
from cachesim.apiserver.testing_kinds import WIDGET


async def widget(api: ContractApi, **options: Any) -> JsonObject:
    return await api.create(WIDGET, {"metadata": {"name": "a"}, "spec": {"color": "red"}}, **options)


def labels(item: JsonObject) -> dict[str, str]:
    found: dict[str, str] = item["metadata"].get("labels", {})
    return found


def test_a_mutating_webhook_changes_what_is_stored(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        cluster.webhooks.add("label.unit.test", add_label("seen"))
        await cluster.configure("a", "label.unit.test")
        await widget(api)
        assert labels(await api.get(WIDGET, "a")) == {"seen": "1"}

    cluster.run(test)


def test_configurations_are_asked_in_order_of_their_names(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        for name in ("one.unit.test", "two.unit.test", "three.unit.test"):
            cluster.webhooks.add(name, lambda _: allow())
        await cluster.configure("b", "two.unit.test", "three.unit.test")
        await cluster.configure("a", "one.unit.test")
        await widget(api)
        assert cluster.webhooks.called == ["one.unit.test", "two.unit.test", "three.unit.test"]

    cluster.run(test)


def test_the_mutated_object_is_validated(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        cluster.webhooks.add("paint.unit.test", lambda _: allow({"op": "add", "path": "/spec/color", "value": "pink"}))
        await cluster.configure("a", "paint.unit.test")
        with refused(422, "Invalid") as errors:
            await widget(api)
        assert 'spec.color: Unsupported value: "pink"' in errors[0].message

    cluster.run(test)


def test_a_validating_webhook_sees_what_the_mutating_ones_made(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        cluster.webhooks.add("label.unit.test", add_label("seen"))
        cluster.webhooks.add("check.unit.test", lambda _: allow())
        await cluster.configure("a", "label.unit.test")
        await cluster.configure("b", "check.unit.test", mutating=False)
        await widget(api)
        assert labels(cluster.webhooks.requests[-1]["object"]) == {"seen": "1"}

    cluster.run(test)


def test_a_denial_says_which_webhook_and_why(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        status = {"code": 403, "reason": "Forbidden", "message": "no red widgets"}
        cluster.webhooks.add("deny.unit.test", lambda _: {"allowed": False, "status": status})
        await cluster.configure("a", "deny.unit.test", mutating=False)
        with refused(403, "Forbidden") as errors:
            await widget(api)
        assert errors[0].message == 'admission webhook "deny.unit.test" denied the request: no red widgets'
        assert not await api.exists(WIDGET, "a")

    cluster.run(test)


def test_a_denial_without_a_word_says_so(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        cluster.webhooks.add("deny.unit.test", lambda _: {"allowed": False})
        await cluster.configure("a", "deny.unit.test")
        with refused(400) as errors:
            await widget(api)
        assert errors[0].message == 'admission webhook "deny.unit.test" denied the request without explanation'

    cluster.run(test)


def test_warnings_come_with_the_answer(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        cluster.webhooks.add("warn.unit.test", lambda _: allow(warnings=["mind the gap"]))
        await cluster.configure("a", "warn.unit.test")
        answer = await api.answer(WIDGET, {"metadata": {"name": "a"}, "spec": {"color": "red"}})
        assert answer.warnings == ("mind the gap",)

    cluster.run(test)


def test_a_webhook_that_is_down_fails_the_request(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        await cluster.configure("a", "down.unit.test")
        with refused(500, "InternalError") as errors:
            await widget(api)
        assert errors[0].message == (
            'Internal error occurred: failed calling webhook "down.unit.test": '
            "failed to call webhook: connection refused"
        )

    cluster.run(test)


def test_a_webhook_that_is_down_may_be_ignored(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        await cluster.configure("a", "down.unit.test", failurePolicy="Ignore")
        assert (await widget(api))["metadata"]["uid"]

    cluster.run(test)


def test_a_slow_webhook_is_given_up(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        cluster.webhooks.add("slow.unit.test", add_label("seen"), delay_seconds=10)
        await cluster.configure("a", "slow.unit.test", timeoutSeconds=2)
        with refused(500, "InternalError") as errors:
            await widget(api)
        assert "context deadline exceeded" in errors[0].message
        assert cluster.runtime.monotonic() == 2.0

    cluster.run(test)


def test_a_webhook_is_asked_again_when_a_later_one_changed_the_object(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        cluster.webhooks.add("first.unit.test", add_label("first"))
        cluster.webhooks.add("second.unit.test", add_label("second"))
        await cluster.configure("a", "first.unit.test", reinvocationPolicy="IfNeeded")
        await cluster.configure("b", "second.unit.test")
        assert labels(await widget(api)) == {"first": "2", "second": "1"}

    cluster.run(test)


def test_a_webhook_is_not_asked_again_for_its_own_change(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        cluster.webhooks.add("first.unit.test", add_label("first"))
        await cluster.configure("a", "first.unit.test", reinvocationPolicy="IfNeeded")
        assert labels(await widget(api)) == {"first": "1"}

    cluster.run(test)


def test_a_rule_for_another_resource_does_not_match(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["pods"]}
        await cluster.configure("a", "down.unit.test", rules=[rule])
        await widget(api)
        assert cluster.webhooks.called == []

    cluster.run(test)


def test_a_rule_for_the_object_leaves_its_status_alone(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        await widget(api)
        await cluster.configure("a", "down.unit.test")
        await api.merge(WIDGET, "a", {"status": {"phase": "Done"}}, subresource="status")
        assert cluster.webhooks.called == []

    cluster.run(test)


def test_an_object_selector_narrows(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        await cluster.configure("a", "down.unit.test", objectSelector={"matchLabels": {"app": "x"}})
        await widget(api)
        with refused(500):
            await api.merge(WIDGET, "a", {"metadata": {"labels": {"app": "x"}}})

    cluster.run(test)


def test_a_namespace_selector_narrows(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        others = [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["unit"]}]
        await cluster.configure("a", "down.unit.test", namespaceSelector={"matchExpressions": others})
        await widget(api)
        with refused(500):
            await api.verbs.create(
                WIDGET, typed(WIDGET, {"metadata": {"name": "a"}, "spec": {"color": "red"}}), namespace="default"
            )

    cluster.run(test)


def test_match_conditions_narrow(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        conditions = [{"name": "blue", "expression": "object.spec.color == 'blue'"}]
        await cluster.configure("a", "down.unit.test", matchConditions=conditions)
        await widget(api)
        with refused(500):
            await api.merge(WIDGET, "a", {"spec": {"color": "blue"}})

    cluster.run(test)


def test_a_webhook_with_side_effects_is_refused(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        with refused(422, "Invalid") as errors:
            await cluster.configure("a", "effects.unit.test", sideEffects="Some")
        assert 'webhooks[0].sideEffects: Unsupported value: "Some"' in errors[0].message

    cluster.run(test)


def test_a_dry_run_is_reviewed_as_one(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        cluster.webhooks.add("label.unit.test", add_label("seen"))
        await cluster.configure("a", "label.unit.test", sideEffects="NoneOnDryRun")
        assert labels(await widget(api, dry_run=True)) == {"seen": "1"}
        assert cluster.webhooks.requests[-1]["dryRun"] is True

    cluster.run(test)


def test_a_match_condition_that_fails_is_the_webhooks_failure(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        conditions = [{"name": "broken", "expression": "object.spec.missing == 'x'"}]
        await cluster.configure("a", "down.unit.test", matchConditions=conditions, failurePolicy="Ignore")
        assert (await widget(api))["metadata"]["uid"]
        assert cluster.webhooks.called == []

    cluster.run(test)


def test_a_deletion_is_reviewed_with_the_old_object(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        await widget(api)
        status = {"code": 403, "reason": "Forbidden", "message": "in use"}
        cluster.webhooks.add("keep.unit.test", lambda _: {"allowed": False, "status": status})
        await cluster.configure("a", "keep.unit.test", mutating=False)
        with refused(403):
            await api.delete(WIDGET, "a")
        request = cluster.webhooks.requests[-1]
        assert (request["operation"], request["object"]) == ("DELETE", None)
        assert request["oldObject"]["metadata"]["name"] == "a"

    cluster.run(test)


def test_a_write_that_was_overtaken_during_admission_starts_again(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        await widget(api)
        cluster.webhooks.add("slow.unit.test", lambda _: allow(), delay_seconds=1)
        await cluster.configure("a", "slow.unit.test", objectSelector={"matchLabels": {"slow": "yes"}})
        slow = cluster.runtime.spawn(api.merge(WIDGET, "a", {"metadata": {"labels": {"slow": "yes"}}}), name="slow")
        await api.runtime.sleep(0.5)
        await api.merge(WIDGET, "a", {"spec": {"color": "blue"}})
        merged = await slow.join()
        assert (merged["spec"]["color"], labels(merged)) == ("blue", {"slow": "yes"})

    cluster.run(test)


def test_an_answer_to_another_request_is_a_failure(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        cluster.webhooks.add("wrong.unit.test", lambda _: {"uid": "other", "allowed": True})
        await cluster.configure("a", "wrong.unit.test")
        with refused(500, "InternalError") as errors:
            await widget(api)
        assert "expected response.uid=" in errors[0].message

    cluster.run(test)
