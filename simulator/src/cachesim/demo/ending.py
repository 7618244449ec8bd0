"""The end of the story: a node goes, then everything does."""

from __future__ import annotations

from cachecore.quantity import format_bytes
from cachecore.resources.core import Pod
from cachecore.resources.serving import InferenceService, LocalModelCache, LocalModelNodeGroup
from cachesim.demo.manifests import SERVICE
from cachesim.demo.outcome import StepFailed
from cachesim.demo.stage import Stage

# Kubernetes lets a pod without its node be for 40 s, in case the node is about to register again, and looks every 20 s.
_COLLECTION_SECONDS = 60.0
_LOOK_SECONDS = 0.2


async def lose_node(stage: Stage) -> str:
    """The machine is gone, then its Node object: what belonged to it goes by itself."""
    node = stage.lost_node = stage.nodes[-1]
    lost = len([pod for pod in stage.pods if pod.spec.node_name == node])
    await stage.venue.lose_node(node)
    left = len(stage.nodes)
    if lost and stage.venue.kind == "kube":
        stage.screen.note("Kubernetes collects the pods of a node that has gone after about a minute")
    await stage.view.until(
        lambda: not _left_of_node(stage, node, left),
        stage.timeout_seconds() + _COLLECTION_SECONDS,
        lambda: f"{node} is gone, but {_left_of_node(stage, node, left)}",
    )
    pods = counted(lost, "pod")
    return f"{node} is gone: so are its LocalModelNode and its {pods}; the cache counts {counted(left, 'node')}"


async def return_node(stage: Stage) -> str:
    """The machine comes back under its name, with its disk: what is whole on it is not fetched again."""
    node = stage.lost_node
    before = await stage.counters()
    await stage.venue.return_node(node)
    await stage.view.until(
        lambda: node in stage.view.holders(stage.model.key),
        stage.timeout_seconds(stage.model.bytes_total),
        lambda: f"{node} is back, and says {stage.view.state(node, stage.model.key)} of {stage.model.name}",
    )
    fetched = (await stage.counters()).bytes_served - before.bytes_served
    if fetched >= stage.model.bytes_total:
        raise StepFailed(f"{node} came back with the model on its disk, and fetched {format_bytes(fetched)}")
    return f"{node} is back with its disk: {stage.model.name} was checked and is Downloaded, nothing of it came from S3"


async def delete_all(stage: Stage) -> str:
    """Deletions end: finalizers, volumes, claims and files."""
    caches, volumes, claims = (
        len(informer.list()) for informer in (stage.view.caches, stage.view.volumes, stage.view.claims)
    )
    await stage.delete_object(InferenceService, SERVICE, stage.scene.namespace)
    for pod in stage.pods:
        await stage.delete_object(Pod, pod.name, stage.scene.namespace)
    for cache in stage.view.caches.list():
        await stage.delete_object(LocalModelCache, cache.name)
    # A group that is in use can't be deleted: the webhook says so.
    await stage.view.until(
        lambda: not stage.view.caches.list(),
        stage.timeout_seconds(),
        lambda: f"the caches were deleted, and there is still {_left_of_all(stage)}",
    )
    await stage.delete_object(LocalModelNodeGroup, stage.scene.node_group)
    await stage.view.until(
        lambda: not _left_of_all(stage),
        stage.timeout_seconds(),
        lambda: f"after everything was deleted there is still {_left_of_all(stage)}",
    )
    await _until_disks_are_empty(stage)
    objects = ", ".join((counted(caches, "cache"), counted(volumes, "volume"), counted(claims, "claim")))
    return f"{objects} and every file of a model on {counted(len(stage.nodes), 'disk')}: all gone"


def counted(count: int, noun: str) -> str:
    """`1 pod`, `2 pods`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _left_of_node(stage: Stage, node: str, left: int) -> str:
    if stage.view.local_nodes.get(node) is not None:
        return f"LocalModelNode {node} is there"
    pods = [pod.name for pod in stage.pods if pod.spec.node_name == node]
    if pods:
        return f"its pods are there: {', '.join(pods)}"
    cache = stage.view.caches.get(stage.model.name)
    copies = cache.status.copies if cache is not None else None
    if copies is None or copies.total != left:
        return f"the cache counts {copies.total if copies else 'no'} copies"
    return ""


def _left_of_all(stage: Stage) -> str:
    for informer in (stage.view.caches, stage.view.groups, stage.view.volumes, stage.view.claims):
        names = [found.name for found in informer.list()]
        if names:
            return f"{informer.kind.resource_type.kind} {', '.join(names)}"
    pods = [pod.name for pod in stage.pods]
    if pods:
        return f"pods {', '.join(pods)}"
    for node in stage.view.local_nodes.list():
        if node.status.models:
            return f"a copy on {node.name}: {node.status.models[0].source_model_uri}"
    return ""


async def _until_disks_are_empty(stage: Stage) -> None:
    deadline = stage.runtime.monotonic() + stage.timeout_seconds()
    keys = [model.key for model in stage.models]
    while files := await stage.venue.left_files(keys):
        if stage.runtime.monotonic() > deadline:
            raise StepFailed(f"after everything was deleted there is still on disk {', '.join(files)}")
        await stage.runtime.sleep(_LOOK_SECONDS)
