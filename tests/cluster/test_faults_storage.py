"""A namespace that goes while its model comes, and a disk that others fill."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator

import pytest

from cachesim.apiserver.builtin import NAMESPACE
from realcluster.deployment import SYSTEM
from realcluster.faults import FaultField, expect, until
from realcluster.node import RealNode
from realcluster.safety import CACHE, disk_of, published

TEAM = "team"
_CACHE = """\
apiVersion: serving.kserve.io/v1alpha1
kind: LocalModelNamespaceCache
metadata: {name: story, namespace: team}
spec: {sourceModelUri: "s3://models/story", modelSize: 65Mi, nodeGroups: [workers], storage: {key: demo-s3}}
"""
SMALL = "/run/small"
SMALL_MEBIBYTES = 256


def test_a_namespace_is_deleted_while_its_cache_downloads(field: FaultField, heals: Callable[..., float]) -> None:
    secret = json.loads(field.deployed.kubectl("-n", SYSTEM, "get", "secret/storage-config", "--output=json"))
    secret["metadata"] = {"name": "storage-config", "namespace": TEAM}
    field.deployed.kubectl("create", "namespace", TEAM)
    field.deployed.kubectl("apply", "--filename=-", given=json.dumps(secret))
    field.deployed.kubectl("apply", "--filename=-", given=_CACHE)
    until(lambda: field.downloading(field.story))
    for node in field.cluster.nodes.values():
        assert published(disk_of(node), field.story.key) is None, "it is too late"
    field.deployed.kubectl("delete", "namespace", TEAM, "--wait=false")

    def gone() -> None:
        names = [found["metadata"]["name"] for found in field.listed(NAMESPACE)]
        expect(TEAM not in names, "the namespace is still there")
        field.nothing_left(field.story)

    heals("a namespace was deleted while its cache downloaded", gone)
    field.whole(field.assistant)


def restart_agent(field: FaultField, node: RealNode) -> None:
    """A pod keeps the file systems that were mounted when it started."""
    of_it = ("--selector=app.kubernetes.io/name=localmodel-agent", f"--field-selector=spec.nodeName={node.name}")
    field.deployed.kubectl("-n", SYSTEM, "delete", "pods", *of_it)


def unmount(field: FaultField, path: str) -> None:
    field.cluster.run(field.victim.run("umount", "--lazy", path))


@pytest.fixture
def small_disk(field: FaultField) -> Iterator[str]:
    """The victim's store is moved to a disk of 256 MiB, which others write to; the path of what they write there.

    Moved, as an agent that finds an empty disk where its store was waits a minute for the mount that may be missing.
    """
    victim, store = field.victim, "/var/lib/localmodel"
    commands = (
        ("mkdir", "--parents", SMALL),
        ("mount", "-t", "tmpfs", "-o", f"size={SMALL_MEBIBYTES}m", "tmpfs", SMALL),
        ("cp", "--archive", store, f"{SMALL}/models"),
        ("mount", "--bind", f"{SMALL}/models", store),
    )
    with field.safety.without(victim.name), contextlib.ExitStack() as undo:
        for command in commands:
            field.cluster.run(victim.run(*command))
            if command[0] == "mount":
                undo.callback(unmount, field, command[-1])
        restart_agent(field, victim)
        until(lambda: field.whole(field.assistant))
        undo_later = undo.pop_all()
    yield f"{SMALL}/others"
    with field.safety.without(victim.name):
        undo_later.close()
        restart_agent(field, victim)
        until(lambda: field.whole(field.assistant))


@pytest.fixture
def pinned(field: FaultField) -> Iterator[None]:
    """The model that is there may not go for the one that comes."""
    patch = ("patch", "localmodelcache/assistant", "--type=merge")
    field.deployed.kubectl(*patch, '--patch={"spec": {"pinned": true}}')
    yield
    field.deployed.kubectl(*patch, '--patch={"spec": {"pinned": false}}')


def test_a_disk_that_others_fill_is_told_of_and_goes_on_when_they_leave(
    field: FaultField, small_disk: str, pinned: None, heals: Callable[..., float], story: None
) -> None:
    victim = field.victim
    # One model is there, and another does not fit beside what the others write.
    field.cluster.run(victim.run("fallocate", "--length", f"{SMALL_MEBIBYTES - 64 - 32}MiB", small_disk))
    field.apply_cache(field.story)

    def told() -> None:
        state = field.told(victim.name, field.story)
        said_of_it = (state.get("state"), state.get("reason"))
        expect(said_of_it == ("Pending", "NoRoom"), f"{victim.name} says {state or 'nothing'}")
        [cache] = (cache for cache in field.listed(CACHE) if cache["metadata"]["name"] == "story")
        said = cache["status"]["nodeStatus"]
        expect(said == {field.safe_node: "NodeDownloaded", victim.name: "NodeDownloadPending"}, f"{said}")

    heals("a disk was filled by others: told", told)
    field.cluster.run(victim.run("rm", small_disk))
    heals("a disk was filled by others: room again", lambda: field.whole(field.assistant, field.story))
