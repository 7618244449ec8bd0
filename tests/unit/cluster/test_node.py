from __future__ import annotations

import base64
from typing import Any

from cachecore.errors import NotFound
from cachecore.ports import Patch
from cachecore.resources.core import Lease, Node, Pod, Secret
from cachesim.containers import Mount
from cachesim.node import Node as Kubelet
from cachesim.node import NodeOptions

LOADER = {"name": "loader", "image": "loader", "terminationMessagePolicy": "FallbackToLogsOnError"}


def start(cluster: Any, machine: Any, **options: Any) -> Any:
    kubelet = Kubelet(cluster.runtime, cluster.client, "node-1", machine, options=NodeOptions(**options))
    return cluster.runtime.spawn(kubelet.run(), name="kubelet")


def running(pod: Pod) -> bool:
    return pod.status.phase == "Running" and pod.ready


def waiting(pod: Pod) -> str:
    return str(pod.status.container_statuses[0].state.get("waiting", {}).get("reason", ""))


def test_a_node_registers_ready_with_a_lease(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster, cluster.machine(), labels={"zone": "a"})
        node = await cluster.until(lambda node: node.ready, Node, "node-1")
        assert node.metadata.labels["kubernetes.io/hostname"] == "node-1"
        assert node.metadata.labels["zone"] == "a"
        before = await cluster.see(Lease, "node-1", "kube-node-lease")
        await cluster.runtime.sleep(15)
        after = await cluster.see(Lease, "node-1", "kube-node-lease")
        assert after.spec.renew_time > before.spec.renew_time

    cluster.run(scene())


def test_init_containers_run_in_order_before_the_container(cluster: Any) -> None:
    async def scene() -> None:
        machine = cluster.machine()
        machine.exit_codes = {"first": [0], "second": [0]}
        start(cluster, machine)
        init = [{"name": "first", "image": "i"}, {"name": "second", "image": "i"}]
        await cluster.pod(nodeName="node-1", initContainers=init)
        await cluster.runtime.sleep(1.5)
        early = await cluster.see(Pod, "web")
        assert (machine.names, early.status.phase) == (["first", "second"], "Pending")
        pod = await cluster.until(running, Pod, "web")
        assert machine.names == ["first", "second", "main"]
        assert [one.state["terminated"]["exitCode"] for one in pod.status.init_container_statuses] == [0, 0]

    cluster.run(scene())


def test_a_failing_init_container_is_run_again_later_each_time(cluster: Any) -> None:
    async def scene() -> None:
        machine = cluster.machine()
        machine.exit_codes = {"loader": [1, 1, 0]}
        start(cluster, machine)
        await cluster.pod(nodeName="node-1", initContainers=[LOADER])
        await cluster.runtime.sleep(3.5)
        pod = await cluster.see(Pod, "web")
        (loader,) = pod.status.init_container_statuses
        assert loader.state["waiting"]["reason"] == "CrashLoopBackOff"
        assert loader.last_state["terminated"]["message"] == "the end of the log"
        assert (await cluster.until(running, Pod, "web")).status.init_container_statuses[0].restart_count == 2
        assert cluster.runtime.monotonic() > 10

    cluster.run(scene())


def test_a_pod_that_may_not_restart_fails(cluster: Any) -> None:
    async def scene() -> None:
        machine = cluster.machine()
        machine.exit_codes = {"loader": [1]}
        start(cluster, machine)
        await cluster.pod(nodeName="node-1", initContainers=[LOADER], restartPolicy="Never")
        await cluster.until(lambda pod: pod.status.phase == "Failed", Pod, "web")
        assert machine.names == ["loader"]

    cluster.run(scene())


def test_a_pod_that_ends_well_succeeds(cluster: Any) -> None:
    async def scene() -> None:
        machine = cluster.machine()
        machine.exit_codes = {"main": [0]}
        start(cluster, machine)
        await cluster.pod(nodeName="node-1", restartPolicy="OnFailure")
        pod = await cluster.until(lambda pod: pod.status.phase == "Succeeded", Pod, "web")
        assert not pod.ready

    cluster.run(scene())


def test_a_container_that_ends_is_started_again(cluster: Any) -> None:
    async def scene() -> None:
        machine = cluster.machine()
        machine.exit_codes = {"main": [3]}
        start(cluster, machine)
        await cluster.pod(nodeName="node-1")
        pod = await cluster.until(lambda pod: pod.ready and machine.names == ["main", "main"], Pod, "web")
        assert pod.status.container_statuses[0].restart_count == 1

    cluster.run(scene())


def test_variables_come_from_values_fields_and_secrets(cluster: Any) -> None:
    async def scene() -> None:
        machine = cluster.machine()
        start(cluster, machine)
        await cluster.create(
            Secret,
            {
                "metadata": {"name": "s3", "namespace": "default"},
                "data": {"key": base64.b64encode(b"hidden").decode()},
            },
        )
        env = [
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s3", "key": "key"}}},
            {"name": "BOTH", "value": "$(NODE)/$(KEY)/$(UNKNOWN)/$$(NODE)"},
        ]
        main = {"name": "main", "image": "server", "env": env, "args": ["--node=$(NODE)"]}
        await cluster.pod(nodeName="node-1", containers=[main])
        await cluster.until(running, Pod, "web")
        (begun,) = machine.started
        assert dict(begun.env)["BOTH"] == "node-1/hidden/$(UNKNOWN)/$(NODE)"
        assert begun.args == ("--node=node-1",)

    cluster.run(scene())


def test_a_missing_secret_holds_the_container_until_it_comes(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster, cluster.machine())
        env = [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s3", "key": "key"}}}]
        await cluster.pod(nodeName="node-1", containers=[{"name": "main", "image": "server", "env": env}])
        await cluster.until(lambda pod: waiting(pod) == "CreateContainerConfigError", Pod, "web")
        content = {"metadata": {"name": "s3", "namespace": "default"}, "data": {"key": ""}}
        await cluster.create(Secret, content)
        await cluster.until(running, Pod, "web")

    cluster.run(scene())


def test_an_unknown_image_is_said(cluster: Any) -> None:
    async def scene() -> None:
        machine = cluster.machine()
        machine.unknown_images = {"server"}
        start(cluster, machine)
        await cluster.pod(nodeName="node-1")
        await cluster.until(lambda pod: waiting(pod) == "ErrImagePull", Pod, "web")

    cluster.run(scene())


def test_a_claim_is_mounted_where_its_volume_is(cluster: Any) -> None:
    async def scene() -> None:
        machine = cluster.machine()
        start(cluster, machine)
        machine.directories = {"/data", "/data/models/key"}
        await bound_claim(cluster)
        await cluster.pod(nodeName="node-1", **using_claim(subPath="models/key"))
        await cluster.until(running, Pod, "web")
        expected = Mount(source="/data", target="/mnt/models", read_only=True, sub_path="models/key")
        assert machine.started[0].mounts == (expected,)

    cluster.run(scene())


def test_a_volume_that_says_so_is_mounted_read_only_whatever_the_pod_asks_for(cluster: Any) -> None:
    async def scene() -> None:
        machine = cluster.machine()
        start(cluster, machine)
        machine.directories = {"/data"}
        await bound_claim(cluster, mountOptions=["ro"])
        pod = using_claim()
        del pod["volumes"][0]["persistentVolumeClaim"]["readOnly"]
        await cluster.pod(nodeName="node-1", **pod)
        await cluster.until(running, Pod, "web")
        assert machine.started[0].mounts == (Mount(source="/data", target="/mnt/models", read_only=True),)

    cluster.run(scene())


def test_a_missing_path_is_looked_for_later_each_time(cluster: Any) -> None:
    async def scene() -> None:
        machine = cluster.machine()
        start(cluster, machine)
        await bound_claim(cluster)
        await cluster.pod(nodeName="node-1", **using_claim())
        await cluster.runtime.sleep(3)
        machine.directories.add("/data")
        # Tried after 0, 0.5, 1.5 and 3.5 seconds: the path is found by the fourth.
        await cluster.until(running, Pod, "web")
        assert 3.4 < cluster.runtime.monotonic() < 4

    cluster.run(scene())


def test_a_missing_sub_path_of_a_read_only_volume_is_an_error_that_is_tried_again(cluster: Any) -> None:
    async def scene() -> None:
        machine = cluster.machine()
        start(cluster, machine)
        machine.directories = {"/data"}
        await bound_claim(cluster)
        await cluster.pod(nodeName="node-1", **using_claim(subPath="models/key"))
        await cluster.until(lambda pod: waiting(pod) == "CreateContainerConfigError", Pod, "web")
        machine.directories.add("/data/models/key")
        await cluster.until(running, Pod, "web")
        assert cluster.runtime.monotonic() > 10

    cluster.run(scene())


def test_an_empty_directory_goes_with_its_pod(cluster: Any) -> None:
    async def scene() -> None:
        machine = cluster.machine()
        start(cluster, machine)
        main = {"name": "main", "image": "server", "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}
        await cluster.pod(nodeName="node-1", containers=[main], volumes=[{"name": "scratch", "emptyDir": {}}])
        await cluster.until(running, Pod, "web")
        assert machine.started[0].mounts[0].source in machine.directories
        await cluster.client.delete(Pod, "web", namespace="default")
        await cluster.runtime.sleep(1)
        assert machine.directories == set()

    cluster.run(scene())


def test_deletion_stops_the_container_with_its_grace_and_then_takes_the_object(cluster: Any) -> None:
    async def scene() -> None:
        machine = cluster.machine()
        start(cluster, machine)
        await cluster.pod(nodeName="node-1", terminationGracePeriodSeconds=7)
        await cluster.until(running, Pod, "web")
        await cluster.client.delete(Pod, "web", namespace="default")
        await cluster.runtime.sleep(1)
        assert await gone(cluster, "web")
        assert machine.running[0].grace_seconds == 7

    cluster.run(scene())


def test_a_pod_that_waits_for_its_volume_can_be_deleted(cluster: Any) -> None:
    async def scene() -> None:
        machine = cluster.machine()
        start(cluster, machine)
        await bound_claim(cluster)
        await cluster.pod(nodeName="node-1", **using_claim())
        await cluster.runtime.sleep(300)
        await cluster.client.delete(Pod, "web", namespace="default")
        await cluster.runtime.sleep(1)
        assert await gone(cluster, "web")
        assert machine.started == []

    cluster.run(scene())


def test_a_pod_that_was_deleted_by_force_is_stopped(cluster: Any) -> None:
    async def scene() -> None:
        machine = cluster.machine()
        start(cluster, machine)
        await cluster.pod(nodeName="node-1")
        await cluster.until(running, Pod, "web")
        await cluster.client.delete(Pod, "web", namespace="default", grace_period_seconds=0)
        await cluster.runtime.sleep(1)
        assert machine.running[0].grace_seconds == 1

    cluster.run(scene())


def test_a_node_that_comes_back_runs_its_pods_again(cluster: Any) -> None:
    async def scene() -> None:
        machine = cluster.machine()
        power = start(cluster, machine)
        await cluster.pod(nodeName="node-1")
        await cluster.until(running, Pod, "web")
        power.cancel()
        await cluster.runtime.sleep(1)
        assert await machine.running[0].wait() == 137
        start(cluster, machine)
        await cluster.runtime.sleep(1)
        assert machine.names == ["main", "main"]
        assert running(await cluster.see(Pod, "web"))

    cluster.run(scene())


def test_nothing_but_the_lease_is_written_while_all_is_well(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster, cluster.machine())
        await cluster.pod(nodeName="node-1")
        before = (await cluster.until(running, Pod, "web")).metadata.resource_version
        node = (await cluster.see(Node, "node-1")).metadata.resource_version
        await cluster.runtime.sleep(1800)
        assert (await cluster.see(Pod, "web")).metadata.resource_version == before
        assert (await cluster.see(Node, "node-1")).metadata.resource_version == node

    cluster.run(scene())


async def bound_claim(cluster: Any, **volume: Any) -> None:
    claim = await cluster.claim("model", volumeName="disk")
    status = Patch(body={"status": {"phase": "Bound"}})
    await cluster.client.patch(type(claim), "model", status, namespace="default", subresource="status")
    reference = {"namespace": "default", "name": "model", "uid": claim.uid}
    await cluster.volume("disk", claimRef=reference, **volume)


def using_claim(**mount: str) -> dict[str, Any]:
    mounts = [{"name": "model", "mountPath": "/mnt/models", **mount}]
    return {
        "containers": [{"name": "main", "image": "server", "volumeMounts": mounts}],
        "volumes": [{"name": "model", "persistentVolumeClaim": {"claimName": "model", "readOnly": True}}],
    }


async def gone(cluster: Any, pod: str) -> bool:
    try:
        await cluster.see(Pod, pod)
    except NotFound:
        return True
    return False
