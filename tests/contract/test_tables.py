"""Tables: what `kubectl get` shows."""

from __future__ import annotations

from typing import Any

import pytest

from cachesim.apiserver.builtin import CONFIG_MAP, DEPLOYMENT, EVENT, LEASE, NODE, POD, SERVICE, STORAGE_CLASS
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.testing import ContractApi, refused
from cachesim.apiserver.testing_kinds import WIDGET


async def widget(api: ContractApi, name: str = "a") -> JsonObject:
    return await api.create(WIDGET, {"metadata": {"name": name}, "spec": {"color": "red"}})


def columns(table: JsonObject) -> list[str]:
    """Those of `-o wide` in brackets."""
    named = [(each["name"], each["priority"]) for each in table["columnDefinitions"]]
    return [f"({name})" if priority else name for name, priority in named]


async def test_a_table_has_columns_and_rows(api: ContractApi) -> None:
    await widget(api)
    table = await api.table(WIDGET)
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert int(table["metadata"]["resourceVersion"]) > 0
    assert [row["cells"] for row in table["rows"]] == [["a", "red"]]


async def test_a_definitions_columns_are_described(api: ContractApi) -> None:
    name, color = (await api.table(WIDGET))["columnDefinitions"]
    assert (name["name"], name["type"], name["format"]) == ("Name", "string", "name")
    description = "Custom resource definition column (in JSONPath format): .spec.color"
    assert color == {"name": "Color", "type": "string", "format": "", "description": description, "priority": 0}


async def test_one_object_is_a_table_of_one_row(api: ContractApi) -> None:
    created = await widget(api)
    await widget(api, "b")
    table = await api.table(WIDGET, "a")
    assert [row["cells"] for row in table["rows"]] == [["a", "red"]]
    assert table["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]


async def test_a_table_of_what_is_not_there_is_not_found(api: ContractApi) -> None:
    with refused(404, "NotFound"):
        await api.table(WIDGET, "a")


@pytest.mark.parametrize("include, kind", [("", "PartialObjectMetadata"), ("Object", "Widget"), ("None", None)])
async def test_a_row_carries_what_was_asked_for(api: ContractApi, include: str, kind: str | None) -> None:
    await widget(api)
    (row,) = (await api.table(WIDGET, include=include))["rows"]
    assert (row["object"] or {}).get("kind") == kind


async def test_a_row_carries_nothing_else(api: ContractApi) -> None:
    with refused(400, "BadRequest") as errors:
        await api.table(WIDGET, include="Some")
    assert errors[0].message == (
        "Unable to convert to Table as requested: includeObject: Invalid value: \"Some\": must be 'Metadata', "
        "'Object', 'None', or empty"
    )


@pytest.mark.parametrize(
    "kind, found",
    [
        (POD, "Name Ready Status Restarts Age (IP) (Node) (Nominated Node) (Readiness Gates)"),
        (
            NODE,
            "Name Status Roles Age Version (Internal-IP) (External-IP) (OS-Image) (Kernel-Version) (Container-Runtime)",
        ),
        (CONFIG_MAP, "Name Data Age"),
        (LEASE, "Name Holder Age"),
        (STORAGE_CLASS, "Name Provisioner ReclaimPolicy VolumeBindingMode AllowVolumeExpansion Age"),
        (SERVICE, "Name Type Cluster-IP External-IP Port(s) Age (Selector)"),
        (EVENT, "Last Seen Type Reason Object (Subobject) (Source) Message (First Seen) (Count) (Name)"),
    ],
)
async def test_a_built_in_kind_has_its_columns(api: ContractApi, kind: ResourceType, found: str) -> None:
    assert " ".join(columns(await api.table(kind))) == found


async def test_a_pod_is_shown_as_kubectl_shows_it(api: ContractApi) -> None:
    containers = [{"name": "main", "image": "busybox:1"}, {"name": "side", "image": "busybox:1"}]
    await api.create(POD, {"metadata": {"name": "a"}, "spec": {"schedulerName": "none", "containers": containers}})
    (row,) = (await api.table(POD))["rows"]
    assert row["cells"][:4] == ["a", "0/2", "Pending", "0"]
    assert row["cells"][5:] == ["<none>"] * 4


async def test_a_deployment_is_shown_as_kubectl_shows_it(api: ContractApi) -> None:
    containers = [{"name": "main", "image": "busybox:1"}, {"name": "side", "image": "busybox:2"}]
    template: dict[str, Any] = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": containers}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    await api.create(DEPLOYMENT, {"metadata": {"name": "a"}, "spec": spec})
    (row,) = (await api.table(DEPLOYMENT))["rows"]
    assert row["cells"][:4] == ["a", "0/0", 0, 0]
    assert row["cells"][5:] == ["main,side", "busybox:1,busybox:2", "app=x"]
