"""CustomResourceDefinitions and namespaces: what comes and goes with them."""

from __future__ import annotations

import msgspec
import pytest

from cachecore.errors import ApiError
from cachesim.apiserver.builtin import CONFIG_MAP, CUSTOM_RESOURCE_DEFINITION, LEASE, NAMESPACE
from cachesim.apiserver.crd import types_of
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import ContractApi, refused
from cachesim.apiserver.testing_kinds import GROUP, WIDGET, definition
from cachesim.apiserver.testing_webhooks import deny


def gadgets(api: ContractApi) -> JsonObject:
    """A definition of this test's own: its namespace is in the names."""
    word = api.namespace.replace("-", "")
    return definition(f"gadgets{word}", f"Gadget{word}")


async def established(api: ContractApi, name: str) -> None:
    async def holds() -> bool:
        conditions = (await api.get(CUSTOM_RESOURCE_DEFINITION, name)).get("status", {}).get("conditions") or []
        return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)

    await api.eventually(holds)


async def test_a_definition_serves_its_kind(api: ContractApi) -> None:
    body = gadgets(api)
    await api.create(CUSTOM_RESOURCE_DEFINITION, body)
    await established(api, body["metadata"]["name"])
    gadget = types_of(body)[0]
    created = await api.create(gadget, {"metadata": {"name": "a"}, "spec": {"color": "red"}})
    assert created["kind"] == gadget.kind
    await api.delete(CUSTOM_RESOURCE_DEFINITION, body["metadata"]["name"])


async def test_a_deleted_definition_takes_its_objects_along(api: ContractApi) -> None:
    body = gadgets(api)
    await api.create(CUSTOM_RESOURCE_DEFINITION, body)
    await established(api, body["metadata"]["name"])
    gadget = types_of(body)[0]
    await api.create(gadget, {"metadata": {"name": "a"}, "spec": {"color": "red"}})
    await api.delete(CUSTOM_RESOURCE_DEFINITION, body["metadata"]["name"])
    await api.gone(CUSTOM_RESOURCE_DEFINITION, body["metadata"]["name"])

    async def unknown() -> bool:
        with refused(404, "NotFound") as errors:
            await api.get(gadget, "a")
        return "the server could not find the requested resource" in errors[0].message

    # Who answers requests learns of it a moment later.
    await api.eventually(unknown)


async def test_a_definition_is_named_after_its_kind(api: ContractApi) -> None:
    body = gadgets(api)
    with refused(422, "Invalid") as errors:
        await api.create(CUSTOM_RESOURCE_DEFINITION, {**body, "metadata": {"name": f"others.{GROUP}"}})
    assert 'must be spec.names.plural+"."+spec.group' in errors[0].message


async def test_a_rule_that_is_no_cel_is_refused(api: ContractApi) -> None:
    body: JsonObject = msgspec.json.decode(msgspec.json.encode(gadgets(api)))
    schema = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["x-kubernetes-validations"] = [{"rule": "self.color =="}]
    with refused(422, "Invalid") as errors:
        await api.create(CUSTOM_RESOURCE_DEFINITION, body)
    assert "compilation failed" in errors[0].message


async def test_every_field_of_a_schema_has_a_type(api: ContractApi) -> None:
    body: JsonObject = msgspec.json.decode(msgspec.json.encode(gadgets(api)))
    schema = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["untyped"] = {}
    with refused(422, "Invalid") as errors:
        await api.create(CUSTOM_RESOURCE_DEFINITION, body)
    assert "must not be empty for specified object fields" in errors[0].message


LIST = {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}}


@pytest.mark.parametrize(
    "field, fault",
    [
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "uniqueItems: Forbidden"),
        ({"type": "object", "$ref": "#/elsewhere"}, "$ref: Forbidden: $ref is not supported"),
        ({"type": "string", "default": 1}, 'default: Invalid value: "integer"'),
        ({"type": "string", "pattern": "("}, "pattern: Invalid value"),
        ({**LIST, "x-kubernetes-list-type": "map"}, "x-kubernetes-list-map-keys: Required value"),
        ({**LIST, "x-kubernetes-list-type": "set"}, "items.x-kubernetes-map-type: Invalid value"),
        ({"type": "array"}, "items: Required value"),
    ],
)
async def test_a_schema_that_could_not_be_kept_is_refused(api: ContractApi, field: JsonObject, fault: str) -> None:
    body: JsonObject = msgspec.json.decode(msgspec.json.encode(gadgets(api)))
    schema = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["more"] = field
    with refused(422, "Invalid") as errors:
        await api.create(CUSTOM_RESOURCE_DEFINITION, body)
    assert f"properties[spec].properties[more].{fault}" in errors[0].message


@pytest.mark.parametrize(
    "change, fault",
    [
        ({"scope": "Other"}, 'spec.scope: Unsupported value: "Other": supported values: "Cluster", "Namespaced"'),
        ({"preserveUnknownFields": True}, "spec.preserveUnknownFields: Invalid value: true"),
        ({"names": {"plural": "things", "kind": "Thing!"}}, 'spec.names.kind: Invalid value: "Thing!"'),
        ({"group": "contract.k8s.io"}, "metadata.annotations[api-approved.kubernetes.io]: Required value"),
    ],
)
async def test_a_definition_that_makes_no_sense_is_refused(api: ContractApi, change: JsonObject, fault: str) -> None:
    body = gadgets(api)
    with refused(422, "Invalid") as errors:
        await api.create(CUSTOM_RESOURCE_DEFINITION, {**body, "spec": {**body["spec"], **change}})
    assert fault in errors[0].message


async def test_a_changed_schema_holds_for_new_writes(api: ContractApi) -> None:
    body: JsonObject = msgspec.json.decode(msgspec.json.encode(gadgets(api)))
    name = body["metadata"]["name"]
    await api.create(CUSTOM_RESOURCE_DEFINITION, body)
    await established(api, name)
    gadget = types_of(body)[0]
    await api.create(gadget, {"metadata": {"name": "a"}, "spec": {"color": "red"}})
    color = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/color/enum"
    operations = [{"op": "replace", "path": color, "value": ["pink"]}]
    await api.patch(CUSTOM_RESOURCE_DEFINITION, name, "application/json-patch+json", operations)

    async def is_refused() -> bool:
        answers = [await api.exists(gadget, "a")]
        try:
            await api.create(gadget, {"metadata": {"name": "b"}, "spec": {"color": "red"}}, dry_run=True)
        except ApiError as error:
            return all(answers) and 'Unsupported value: "red"' in error.message
        return False

    await api.eventually(is_refused)
    await api.delete(CUSTOM_RESOURCE_DEFINITION, name)


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
async def test_a_namespace_takes_its_contents_along(api: ContractApi, policy: str) -> None:
    name = api.unique("going")
    await api.create(NAMESPACE, {"metadata": {"name": name}})
    body = {**WIDGET_BODY, "metadata": {"name": "a"}}
    await api.verbs.create(WIDGET, body, namespace=name)
    await api.delete(NAMESPACE, name, propagation_policy=policy)
    await api.gone(NAMESPACE, name)
    listed = await api.verbs.list(WIDGET, namespace=name)
    assert listed["items"] == []


async def test_a_deletion_that_is_refused_keeps_nothing_else_of_its_namespace(api: ContractApi) -> None:
    api.webhooks.add("keep", lambda _: deny("not yet"))
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["DELETE"], "resources": ["widgets"]}
    name = api.unique("going")
    scope = {"matchLabels": {"kubernetes.io/metadata.name": name}}
    await api.webhooks.configure("keep", "keep", mutating=False, rules=[rule], namespaceSelector=scope)
    await api.create(NAMESPACE, {"metadata": {"name": name}})
    await api.verbs.create(WIDGET, {**WIDGET_BODY, "metadata": {"name": "kept"}}, namespace=name)
    await api.verbs.create(CONFIG_MAP, {"metadata": {"name": "a"}}, namespace=name)
    await api.verbs.create(LEASE, {"metadata": {"name": "z"}, "spec": {}}, namespace=name)
    await api.delete(NAMESPACE, name)

    async def rest_has_gone() -> bool:
        kinds = (CONFIG_MAP, LEASE)
        names = [
            item["metadata"]["name"] for kind in kinds for item in (await api.verbs.list(kind, namespace=name))["items"]
        ]
        return not {"a", "z"} & set(names)

    await api.eventually(rest_has_gone)
    kept = await api.verbs.list(WIDGET, namespace=name)
    assert [item["metadata"]["name"] for item in kept["items"]] == ["kept"]
    await api.webhooks.clear()
    await api.gone(NAMESPACE, name)


async def test_nothing_is_created_in_a_namespace_that_is_going(api: ContractApi) -> None:
    name = api.unique("going")
    await api.create(NAMESPACE, {"metadata": {"name": name}})
    held = {**WIDGET_BODY, "metadata": {"name": "a", "finalizers": ["contract.localmodel.test/hold"]}}
    await api.verbs.create(WIDGET, held, namespace=name)
    going = await api.delete(NAMESPACE, name)
    assert going["status"]["phase"] == "Terminating"
    with refused(403, "Forbidden") as errors:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}}
        await api.verbs.create(CONFIG_MAP, body, namespace=name)
    assert f"unable to create new content in namespace {name} because it is being terminated" in errors[0].message
    released = {"metadata": {"finalizers": None}}
    await api.verbs.patch(WIDGET, "a", "application/merge-patch+json", released, namespace=name)
    await api.gone(NAMESPACE, name)


async def test_the_default_namespaces_are_there(api: ContractApi) -> None:
    names = await api.names(NAMESPACE)
    assert {"default", "kube-system"} <= set(names)


WIDGET_BODY: JsonObject = {"apiVersion": WIDGET.api_version, "kind": WIDGET.kind, "spec": {"color": "red"}}
