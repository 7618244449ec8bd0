from __future__ import annotations

from typing import Any

import pytest

from cachecore.timestamps import format_timestamp
from cachesim.apiserver.builtin import NAMESPACE, NODE, PERSISTENT_VOLUME, POD
from cachesim.apiserver.http.columns import duration, pod_reason
from cachesim.apiserver.http.tables import Printer, TableRequest
from cachesim.apiserver.resources import PrinterColumn, ResourceType

NOW = 1_800_000_000.0
WIDGET = ResourceType(
    group="example.com",
    version="v1",
    kind="Widget",
    plural="widgets",
    namespaced=True,
    custom=True,
    printer_columns=(
        PrinterColumn(name="Ready", type="string", json_path='.status.conditions[?(@.type=="Ready")].status'),
        PrinterColumn(name="Count", type="integer", json_path=".spec.count"),
        PrinterColumn(name="Groups", type="string", json_path=".spec.groups", priority=1),
        PrinterColumn(name="Age", type="date", json_path=".metadata.creationTimestamp"),
    ),
)


def metadata(name: str = "one", age_seconds: float = 90.0, **more: Any) -> dict[str, Any]:
    return {"name": name, "creationTimestamp": format_timestamp(NOW - age_seconds), **more}


def cells(resource_type: ResourceType, item: dict[str, Any]) -> list[Any]:
    table = Printer(resource_type, TableRequest(), lambda: NOW).of_object(item)
    found: list[Any] = table["rows"][0]["cells"]
    assert len(found) == len(table["columnDefinitions"])
    return found


@pytest.mark.parametrize(
    "seconds,text",
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (192, "3m12s"),
        (3600, "60m"),
        (4 * 3600 + 60, "4h1m"),
        (20 * 3600, "20h"),
        (3 * 86400 + 3600, "3d1h"),
        (100 * 86400, "100d"),
        (800 * 86400, "2y70d"),
        (-60, "<invalid>"),
    ],
)
def test_an_age_is_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_custom_kind_has_the_columns_of_its_definition() -> None:
    item = {
        "metadata": metadata(),
        "spec": {"count": 3, "groups": ["a", "b"]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    assert cells(WIDGET, item) == ["one", "True", 3, '["a","b"]', "90s"]


def test_what_is_absent_or_of_another_type_is_left_empty() -> None:
    assert cells(WIDGET, {"metadata": metadata(), "spec": {"count": "three"}}) == ["one", None, None, None, "90s"]


def test_a_column_tells_its_priority() -> None:
    table = Printer(WIDGET, TableRequest(), lambda: NOW).table([], {})
    assert [column["priority"] for column in table["columnDefinitions"]] == [0, 0, 0, 1, 0]


def test_a_kind_without_columns_has_name_and_age() -> None:
    bare = ResourceType(group="example.com", version="v1", kind="Bare", plural="bares", namespaced=True)
    assert cells(bare, {"metadata": metadata()}) == ["one", "90s"]


@pytest.mark.parametrize(
    "include,kind", [("None", None), ("Metadata", "PartialObjectMetadata"), ("Object", "Namespace")]
)
def test_a_row_carries_what_was_asked_for(include: str, kind: str | None) -> None:
    item = {"kind": "Namespace", "apiVersion": "v1", "metadata": metadata()}
    row = Printer(NAMESPACE, TableRequest("v1", include), lambda: NOW).of_object(item)["rows"][0]
    assert (row["object"] or {}).get("kind") == kind


def test_a_node_that_is_cordoned_says_so() -> None:
    item = {
        "metadata": metadata(),
        "spec": {"unschedulable": True},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    assert cells(NODE, item)[1] == "Ready,SchedulingDisabled"


def test_a_volume_names_its_claim() -> None:
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadOnlyMany", "ReadWriteOnce"],
        "claimRef": {"namespace": "team", "name": "iris"},
    }
    printed = cells(PERSISTENT_VOLUME, {"metadata": metadata(), "spec": spec, "status": {"phase": "Bound"}})
    assert printed[:6] == ["one", "1Gi", "ROX,RWO", "", "Bound", "team/iris"]


def pod(status: dict[str, Any], **meta: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "main"}], "initContainers": [{"name": "first"}]}
    return {"metadata": metadata(**meta), "spec": spec, "status": status}


@pytest.mark.parametrize(
    "status,reason",
    [
        ({"phase": "Pending"}, "Pending"),
        ({"phase": "Running", "containerStatuses": [{"ready": True, "state": {"running": {}}}]}, "Running"),
        ({"phase": "Pending", "initContainerStatuses": [{"state": {"running": {}}}]}, "Init:0/1"),
        (
            {"phase": "Pending", "initContainerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]},
            "Init:ErrImagePull",
        ),
        (
            {"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
            "CrashLoopBackOff",
        ),
        ({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]}, "ExitCode:3"),
        ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
    ],
)
def test_a_pod_says_what_is_most_telling(status: dict[str, Any], reason: str) -> None:
    assert pod_reason(pod(status)) == reason


def test_a_pod_that_is_being_deleted_is_terminating() -> None:
    assert pod_reason(pod({"phase": "Running"}, deletionTimestamp="2026-01-01T00:00:00Z")) == "Terminating"


def test_a_pod_counts_ready_containers_and_restarts() -> None:
    status = {"phase": "Running", "containerStatuses": [{"ready": True, "restartCount": 2, "state": {"running": {}}}]}
    assert cells(POD, pod(status))[:5] == ["one", "1/1", "Running", "2", "90s"]
