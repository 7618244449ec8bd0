"""The small parts: gathering, the overlay of own writes, the pod index, group conditions, metrics, the command line."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cachecore import names
from cachecore.resources.core import Event, Pod, PodSpec, PodStatus
from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import (
    LocalModelCache,
    LocalModelCacheSpec,
    LocalModelNodeGroup,
    LocalModelNodeGroupSpec,
    NodeStorageStatus,
)
from cachecore.testing import VirtualRuntime
from cachemanager.__main__ import main, parser
from cachemanager.demand import PodDemand, pod_need
from cachemanager.gathering import Gatherer
from cachemanager.group_status import MemberNode, group_status
from cachemanager.groups import quantity_text
from cachemanager.written import Written

URI = "s3://models/iris"
KEY = names.storage_key(URI)
CACHE = LocalModelCache(
    metadata=ObjectMeta(name="iris"),
    spec=LocalModelCacheSpec(source_model_uri=URI, model_size="1Gi", node_groups=("workers",)),
)


def gathered(*pauses_seconds: float) -> list[tuple[str, float]]:
    """When each key is passed on, when one is added after each pause."""
    runtime = VirtualRuntime()
    passed: list[tuple[str, float]] = []

    async def test() -> None:
        start = runtime.monotonic()
        gatherer: Gatherer[str] = Gatherer(
            runtime,
            lambda key: passed.append((key, round(runtime.monotonic() - start, 3))),
            lambda: (1.0, 3.0),
        )
        task = runtime.spawn(gatherer.run(), name="gatherer")
        for number, pause in enumerate(pauses_seconds):
            await runtime.sleep(pause)
            gatherer.add([f"k{number}"])
        await runtime.sleep(10)
        task.cancel()

    runtime.run(test())
    return passed


def test_keys_wait_until_nothing_is_added() -> None:
    assert gathered(0.0, 0.5) == [("k0", 1.5), ("k1", 1.5)]


def test_keys_never_wait_longer_than_the_limit() -> None:
    passed = dict(gathered(*[0.6] * 8))
    assert passed["k0"] <= 0.6 + 3.0 + 1.0
    assert passed["k7"] > passed["k0"]


def version(number: int, uid: str = "uid") -> LocalModelCache:
    return LocalModelCache(metadata=ObjectMeta(name="iris", uid=uid, resource_version=str(number)), spec=CACHE.spec)


def test_an_own_write_is_used_until_it_is_seen() -> None:
    written: Written[str, LocalModelCache] = Written()
    written.remember("iris", version(1), version(2))
    written.remember("iris", version(2), version(5))
    assert written.current("iris", version(1)) == version(5)
    assert written.current("iris", version(2)) == version(5)
    assert written.current("iris", version(5)) == version(5)
    assert written.current("iris", version(7)) == version(7)


def test_an_own_write_is_used_over_the_status_that_came_before_it() -> None:
    written: Written[str, LocalModelCache] = Written()
    first, result = version(1), version(3)
    result = msgspec.structs.replace(result, metadata=msgspec.structs.replace(result.metadata, generation=1))
    written.remember("iris", first, result)
    assert written.current("iris", version(2)) == result


def test_an_own_write_is_void_for_another_object_of_that_name() -> None:
    written: Written[str, LocalModelCache] = Written()
    written.remember("iris", version(1), version(2))
    assert written.current("iris", version(1, uid="other")).uid == "other"


def pod(node: str = "", *, namespace: str = "team-a", phase: str = "Running", keys: str = "") -> Pod:
    metadata = ObjectMeta(
        name="server",
        namespace=namespace,
        labels={names.POD_KEY_LABEL: KEY},
        annotations={names.POD_KEYS_ANNOTATION: keys} if keys else {},
    )
    return Pod(metadata=metadata, spec=PodSpec(node_name=node), status=PodStatus(phase=phase))


def test_a_pod_that_has_ended_needs_nothing() -> None:
    assert pod_need(pod("n1", phase="Succeeded")) is None


def test_a_pod_may_need_several_models() -> None:
    need = pod_need(pod("n1", keys=f"{KEY},{'1' * 16}"))
    assert need is not None
    assert need.keys == (KEY, "1" * 16)


def test_a_pod_that_goes_is_forgotten() -> None:
    demand = PodDemand()
    demand.put("team-a", "server", pod_need(pod("n1")))
    assert demand.on_node(CACHE, KEY, "n1")
    demand.put("team-a", "server", None)
    assert not demand.on_node(CACHE, KEY, "n1")
    assert demand.namespaces(CACHE) == set()


def group(**spec: Any) -> LocalModelNodeGroup:
    volume = {"local": {"path": "/data"}}
    made = LocalModelNodeGroupSpec(**{"storage_limit": "10Gi", "persistent_volume_spec": volume, **spec})
    return LocalModelNodeGroup(metadata=ObjectMeta(name="workers", generation=1), spec=made)


FULL = NodeStorageStatus(limit=10, used=9, available=1)


@pytest.mark.parametrize(
    "one,members,reason",
    [
        (group(), [MemberNode(node="a", ready=True, storage=FULL)], "AllNodesReady"),
        (group(), [], "NoNodes"),
        (group(), [MemberNode(node="a", ready=False, storage=FULL)], "NodesNotReady"),
        (group(), [MemberNode(node="a", ready=True)], "AgentsSilent"),
        (group(persistent_volume_spec={"csi": {}}), [MemberNode(node="a", ready=True)], "InvalidSpec"),
        (group(storage_limit="lots"), [MemberNode(node="a", ready=True)], "InvalidSpec"),
    ],
)
def test_a_group_says_what_is_the_matter(one: LocalModelNodeGroup, members: list[MemberNode], reason: str) -> None:
    assert [condition.reason for condition in group_status(one, members, 0.0).conditions] == [reason]


@pytest.mark.parametrize(
    "count_bytes,up,down", [(0, "0", "0"), (1, "1Mi", "0"), (2**30, "1Gi", "1Gi"), (2**30 + 1, "1025Mi", "1Gi")]
)
def test_used_is_rounded_up_and_available_down(count_bytes: int, up: str, down: str) -> None:
    assert quantity_text(count_bytes, round_up=True) == up
    assert quantity_text(count_bytes, round_up=False) == down


def test_help_explains_each_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for flag in ("--kubeconfig", "--port", "--leader-election", "--tolerated-taints", "LOCALMODEL_SYSTEM_NAMESPACE"):
        assert flag in text


def test_a_wrong_flag_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_flags(["--progress-interval", "-1"])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_writes_and_caches_are_counted(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await cluster.add_node("n1")
        await cluster.add_group()
        await cluster.add_cache()
        await cluster.settle()
        samples = {
            (sample.name, *sample.labels.values()): sample.value
            for metric in cluster.registry.collect()
            for sample in metric.samples
        }
        assert samples["localmodel_manager_caches", "True"] == 1
        assert samples["localmodel_manager_copies", "Downloaded"] == 1
        assert samples["localmodel_manager_writes_total", "create", "LocalModelNode"] == 1
        assert samples["localmodel_manager_leading",] == 1

    cluster.run(test)


def test_ready_and_degraded_are_told_by_events(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await cluster.add_node("n1")
        await cluster.add_group()
        await cluster.add_cache()
        await cluster.add_cache("big", size="1Ti")
        await cluster.settle()
        events = (await cluster.client.list(Event)).items
        assert {(one.involved_object.name, one.type, one.reason) for one in events} >= {
            ("iris", "Normal", "Ready"),
            ("big", "Warning", "InsufficientStorage"),
        }

    cluster.run(test)
