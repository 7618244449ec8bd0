"""How the benchmark of the manager counts, and what it takes for a loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cachecore.resources.meta import ObjectMeta, to_object
from cachecore.resources.serving import (
    LocalModelCache,
    LocalModelInfo,
    LocalModelNode,
    LocalModelNodeSpec,
    ModelCopies,
)
from managerscale import objects
from managerscale.agents import agent_status
from managerscale.audit import AuditLog, Writes
from managerscale.checking import lost_updates
from managerscale.results import Result, together


def event(verb: str, resource: str, *, user: str = "manager", code: int = 200, **where: str) -> dict[str, Any]:
    return {
        "stage": "ResponseComplete",
        "verb": verb,
        "user": {"username": user},
        "objectRef": {"resource": resource, **where},
        "responseStatus": {"code": code},
    }


def written(path: Path, *events: dict[str, Any]) -> AuditLog:
    path.write_text("".join(f"{json.dumps(one)}\n" for one in events))
    return AuditLog(path, "manager")


def test_writes_are_counted_by_verb_and_resource(tmp_path: Path) -> None:
    update = event("update", "localmodelcaches", subresource="status")
    log = written(tmp_path / "log", event("create", "localmodelnodes"), update, update)
    assert log.read().by_kind == {"create localmodelnodes": 1, "update localmodelcaches/status": 2}


@pytest.mark.parametrize(
    "other",
    [
        event("get", "localmodelnodes"),
        event("update", "leases"),
        event("update", "localmodelnodes", user="agent"),
        {**event("create", "localmodelnodes"), "stage": "Panic"},
        {"stage": "ResponseComplete", "verb": "get"},
    ],
)
def test_what_is_no_write_of_the_manager_is_not_counted(tmp_path: Path, other: dict[str, Any]) -> None:
    assert written(tmp_path / "log", other).read() == Writes()


def test_refused_writes_are_told_apart(tmp_path: Path) -> None:
    refused = [
        event("update", "nodes", code=409),
        event("patch", "nodes", code=422),
        event("update", "nodes", code=422),
    ]
    found = written(tmp_path / "log", *refused).read()
    assert (found.total, found.conflicts, found.refused) == (3, 2, 1)


def test_reading_goes_on_where_it_stopped_and_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = written(path, event("create", "nodes"))
    before = log.read()
    line = json.dumps(event("delete", "nodes"))
    with path.open("a") as file:
        file.write(line[:20])
    assert log.read() == before
    with path.open("a") as file:
        file.write(f"{line[20:]}\n")
    assert log.read().since(before) == Writes(by_kind={"delete nodes": 1})


def test_bytes_are_the_managers_where_nobody_else_has_written(tmp_path: Path) -> None:
    log = written(tmp_path / "log", event("update", "nodes"), event("update", "pods", user="kubelet"))
    log.read()
    assert (log.is_only_his("update", "nodes"), log.is_only_his("update", "pods")) == (True, False)


def node_of(*models: LocalModelCache) -> LocalModelNode:
    entries = tuple(LocalModelInfo(source_model_uri=one.spec.source_model_uri, model_name=one.name) for one in models)
    local = LocalModelNode(metadata=ObjectMeta(name="n1"), spec=LocalModelNodeSpec(local_models=entries))
    return msgspec.structs.replace(local, status=agent_status(local, "1", 0.0))


def counting(cache: LocalModelCache, copies: int) -> LocalModelCache:
    status = msgspec.structs.replace(cache.status, copies=ModelCopies(available=copies, total=1))
    return msgspec.structs.replace(cache, status=status)


def test_nothing_is_lost_when_all_agree() -> None:
    cache, local = counting(objects.model(0), 1), node_of(objects.model(0))
    assert lost_updates(["n1"], [cache], [local], {"n1": local.status}) == []


def test_a_loss_is_seen_wherever_it_is() -> None:
    first, second, local = objects.model(0), objects.model(1), node_of(objects.model(0))
    said = {"n1": msgspec.structs.replace(local.status, agent_version="2")}
    assert lost_updates(["n1", "n2"], [counting(first, 0), counting(second, 0)], [local], said) == [
        "n2 has no LocalModelNode",
        "the spec of n1 lists 1 of 2 models",
        "the status of n1 is not what its agent wrote",
        "the status of model-0000 counts 0 copies, 1 agents hold it",
    ]


def test_agents_write_what_the_definition_of_the_kind_knows() -> None:
    status = to_object(node_of(objects.model(0)))["status"]
    assert status["modelStatus"] == {"model-0000": "ModelDownloaded"}
    assert status["models"][0]["bytesDone"] == objects.MODEL_BYTES


def test_the_largest_run_is_the_result_and_is_compared_with_the_smallest() -> None:
    small = Result(nodes=100, models=1, ready=True, seconds_to_ready=2.0, writes_total=10, manager_cpu_seconds=1.0)
    large = Result(nodes=500, models=1, ready=True, seconds_to_ready=9.0, writes_total=40, manager_cpu_seconds=3.0)
    found = json.loads(msgspec.json.encode(together([large, small])))
    assert (found["nodes"], [one["nodes"] for one in found["smaller"]]) == (500, [100])
    assert found["growth"] == {"nodes": 5.0, "seconds": 4.5, "writes": 4.0, "manager_cpu_seconds": 3.0}


def test_one_run_has_nothing_to_compare() -> None:
    assert "growth" not in json.loads(msgspec.json.encode(together([Result(nodes=1, models=1)])))
