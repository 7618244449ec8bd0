"""Events of a simulated world in words: what changed, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from cachecore.names import storage_key
from cachesim.apiserver.resources import ResourceType
from cachesim.apiserver.store import Change
from cachesim.disk import DiskEvent
from cachesim.simulation.event_log import SHOWN_LINES, Event, EventLog
from cachesim.simulation.words import ModelNames, Words

KEY = storage_key("s3://models/llama-8b")
GIB = 2**30


def kind(group: str, name: str, plural: str) -> ResourceType:
    return ResourceType(group=group, version="v1", kind=name, plural=plural, namespaced=False)


LEASE = kind("coordination.k8s.io", "Lease", "leases")
NODE = kind("", "Node", "nodes")
POD = kind("", "Pod", "pods")
CACHE = kind("serving.kserve.io", "LocalModelCache", "localmodelcaches")
LOCAL_NODE = kind("serving.kserve.io", "LocalModelNode", "localmodelnodes")

JsonObject = dict[str, Any]

words = Words(ModelNames({KEY: "llama-8b"}))


def change(
    resource_type: ResourceType,
    before: JsonObject | None,
    after: JsonObject,
    *,
    name: str = "x",
    type: str = "MODIFIED",
) -> Event:
    """A write: `metadata` is completed with the name."""
    items = [{**item, "metadata": {"name": name, **item.get("metadata", {})}} for item in (before or {}, after)]
    previous = None if before is None else items[0]
    return Event(1.0, "api", Change(resource_type, type, items[1], previous, 2, {}))


def copy_status(**fields: Any) -> JsonObject:
    return {"status": {"models": [{"key": KEY, "state": "Downloading", "bytesTotal": 16 * GIB, **fields}]}}


def test_an_agent_reports_how_far_a_download_came() -> None:
    event = change(LOCAL_NODE, copy_status(), copy_status(bytesDone=3 * GIB), name="node-2")
    assert words(event) == "agent of node-2 reports llama-8b Downloading, 3.0 GiB of 16.0 GiB"


def test_an_agent_reports_another_rate() -> None:
    event = change(LOCAL_NODE, copy_status(), copy_status(bytesPerSecond=GIB), name="node-2")
    assert words(event) == "agent of node-2 reports llama-8b Downloading at 1.0 GiB/s"


def test_a_copy_that_is_as_it_was_is_not_told() -> None:
    evicted = {"key": "b" * 16, "state": "Evicted", "reason": "NoRoom"}
    before, after = copy_status(), copy_status(bytesDone=GIB)
    for item in (before, after):
        item["status"]["models"].append(evicted)
    assert "Evicted" not in words(change(LOCAL_NODE, before, after))


def test_the_manager_writes_a_spec() -> None:
    before = {"spec": {"localModels": [{"modelName": "mixtral"}, {"modelName": "whisper", "referenced": False}]}}
    after = {"spec": {"localModels": [{"modelName": "llama-8b"}, {"modelName": "whisper", "referenced": True}]}}
    event = change(LOCAL_NODE, before, after, name="node-1")
    assert words(event) == "manager writes the spec of node-1: + llama-8b, - mixtral, whisper referenced"


def test_a_pod_is_bound() -> None:
    event = change(POD, {"spec": {}}, {"spec": {"nodeName": "node-2"}}, name="llama-8b-3")
    assert words(event) == "pod llama-8b-3 bound to node-2"


def test_a_pod_becomes_ready() -> None:
    after = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    assert words(change(POD, {}, after, name="p")) == "pod p is Running; is ready"


def test_a_cache_is_being_deleted() -> None:
    after = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert words(change(CACHE, {}, after, name="whisper")) == "cache whisper is being deleted"


def test_a_finalizer_goes() -> None:
    before = {"metadata": {"finalizers": ["localmodel.kserve.io/finalizer"]}}
    event = change(CACHE, before, {}, name="whisper")
    assert words(event) == "cache whisper - finalizer localmodel.kserve.io/finalizer"


def test_a_new_cache_says_what_it_asks_for() -> None:
    spec = {"spec": {"modelSize": "16Gi", "pinned": True, "copies": 2}}
    event = change(CACHE, None, spec, name="llama-8b", type="ADDED")
    assert words(event) == "cache llama-8b created: 16Gi, pinned, 2 copies"


def test_a_node_is_deleted() -> None:
    assert words(change(NODE, {}, {}, name="node-5", type="DELETED")) == "Node node-5 deleted"


def test_the_label_of_a_copy_is_told_with_its_model() -> None:
    after = {"metadata": {"labels": {f"localmodel.kserve.io/{KEY}": "ready"}}}
    assert words(change(NODE, {}, after, name="node-5")) == "Node node-5 + label llama-8b=ready"


def test_a_renewed_lease_is_no_news() -> None:
    before, after = ({"spec": {"holderIdentity": "m", "renewTime": time}} for time in ("1", "2"))
    assert words(change(LEASE, before, after)) == ""


def test_a_lease_that_changes_hands_is_news() -> None:
    before, after = ({"spec": {"holderIdentity": name}} for name in ("m-1", "m-2"))
    assert words(change(LEASE, before, after, name="leader")) == "lease leader held by m-2, no longer by m-1"


def test_a_field_that_nobody_foresaw_is_named() -> None:
    event = change(POD, {"spec": {"priority": 1}}, {"spec": {"priority": 2}}, name="p")
    assert words(event) == "pod p: spec.priority changed"


STAGED = f".localmodel/staging/{KEY}/files/a.bin"
PUBLISHED = f"{KEY}/models/{KEY}"


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (DiskEvent("rename", f".localmodel/staging/{KEY}/files", PUBLISHED), "llama-8b published"),
        (DiskEvent("rename", PUBLISHED, f".localmodel/trash/{KEY}-1f"), "llama-8b evicted (renamed into the trash)"),
        (DiskEvent("remove", f".localmodel/trash/{KEY}-1f"), "trash of llama-8b emptied"),
        (DiskEvent("write", f".localmodel/manifests/{KEY}"), "manifest of llama-8b written"),
        (DiskEvent("allocate", STAGED), "space for llama-8b's a.bin allocated in staging"),
        (DiskEvent("part", STAGED), "a part of llama-8b's a.bin arrived in staging"),
        (DiskEvent("write", f".localmodel/staging/{KEY}/journal"), "journal of llama-8b's download written"),
        (DiskEvent("remove", f".localmodel/staging/{KEY}"), "staging of llama-8b removed"),
        (DiskEvent("make", f"{KEY}/models"), "view of llama-8b made"),
        (DiskEvent("write", f"{PUBLISHED}/a.bin"), "published copy of llama-8b, a.bin, written"),
        (DiskEvent("write", ".localmodel/ledger"), "ledger of arrivals and uses written"),
        (DiskEvent("write", ".localmodel/store"), "store's identity written"),
        (DiskEvent("wipe", ""), "wiped, it is empty now"),
        (DiskEvent("rename", f"models/{KEY}", PUBLISHED), "llama-8b published, adopted from what KServe's agent left"),
    ],
)
def test_a_change_of_a_disk(event: DiskEvent, told: str) -> None:
    assert words(Event(1.0, "disk", event, "node-1")) == f"disk of node-1: {told}"


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        ("fault", "disk-full at 3h node-1 for 60 s", "FAULT: disk-full at 3h node-1 for 60 s"),
        ("heal", "disk-full ends on node-1", "healed: disk-full ends on node-1"),
        ("violation", f"S6: node-1: {KEY} was evicted", "VIOLATION of S6: node-1: llama-8b was evicted"),
    ],
)
def test_faults_and_violations(kind: str, text: str, told: str) -> None:
    assert words(Event(1.0, kind, text)) == told


def test_a_host_is_named() -> None:
    assert words(Event(1.0, "host", "agent stopped", "node-1")) == "node-1: agent stopped"


def test_a_note_does_not_change_the_hash() -> None:
    log = EventLog(words)
    before = log.hash
    log.note(1.0, "violation", "S1: broken")
    assert log.hash == before


def test_the_last_lines_are_those_up_to_the_first_violation() -> None:
    log = EventLog(words)
    for number in range(100):
        log.add(float(number), "fault", f"number {number}")
    log.note(100.0, "violation", "S1: broken")
    log.add(101.0, "fault", "afterwards")
    assert len(log.last_lines) == SHOWN_LINES
    assert log.last_lines[-1] == "100.000 VIOLATION of S1: broken"
