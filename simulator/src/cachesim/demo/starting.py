"""The first half of the story: a model in S3, a pod without the cache, the cache, and pods with it."""

from __future__ import annotations

import asyncio

from cachecore.quantity import format_bytes
from cachecore.resources.core import Pod
from cachecore.resources.serving import LocalModelCache
from cachesim.demo import manifests
from cachesim.demo.manifests import SERVICE
from cachesim.demo.models import upload
from cachesim.demo.outcome import ColdStart, StepFailed
from cachesim.demo.stage import Served, Stage

_LEAST_MORE_PODS = 4
_SERVICE_LABEL = "serving.kserve.io/inferenceservice"


async def seed(stage: Stage) -> str:
    """Put the models into S3, and let the demo's namespace read them."""
    await stage.venue.prepare_namespace()
    await asyncio.to_thread(upload, stage.models, stage.venue.s3.environment)
    await stage.view.start()
    files = sum(len(model.files) for model in stage.models)
    total_bytes = sum(model.bytes_total for model in stage.models)
    return f"{stage.model.uri} and {len(stage.models) - 1} smaller ones: {files} objects, {format_bytes(total_bytes)}"


async def start_uncached(stage: Stage) -> str:
    """What every pod pays without the cache: its storage initializer downloads the whole model."""
    before = await stage.counters()
    served = await stage.start_pod("without-cache", stage.model)
    after = await stage.counters()
    stage.report.cold_start_seconds = ColdStart(uncached=round(served.served_seconds, 3))
    await stage.stop_pod("without-cache")
    fetched = format_bytes(after.bytes_served - before.bytes_served)
    return f"{_timing(served)}; S3 served {fetched} in {after.get_requests - before.get_requests} GETs for this one pod"


async def apply_cache(stage: Stage) -> str:
    """Two objects are all that the cache needs."""
    limit_bytes = stage.sizes.limit_bytes
    await stage.apply_node_group()
    await stage.venue.apply(manifests.cache(stage.scene, stage.model))
    return f"a node group with {format_bytes(limit_bytes)} per node, and a cache of {stage.model.uri}"


async def download(stage: Stage) -> str:
    """Each node's agent downloads, checks and publishes the model."""
    seconds = await stage.download_everywhere(stage.model)
    nodes = len(stage.nodes)
    cache = await stage.view.until(
        lambda: _available(stage, nodes),
        stage.timeout_seconds(),
        lambda: f"every node holds the model, but the cache says {_copies(stage)}",
    )
    if cache.status.digest not in ("", stage.model.digest):
        raise StepFailed(f"the cache says {cache.status.digest}, but the model is {stage.model.digest}")
    rate = format_bytes(int(nodes * stage.model.bytes_total / max(seconds, 0.001)))
    return f"{nodes}/{nodes} copies, {rate}/s, {stage.model.digest}"


async def start_cached(stage: Stage) -> str:
    """The same pod again: the webhook gives it the copy on its node."""
    before = await stage.counters()
    served = await stage.start_pod("with-cache", stage.model)
    after = await stage.counters()
    _check_unchanged(before.get_requests, after.get_requests)
    uncached = stage.report.cold_start_seconds.uncached
    stage.report.cold_start_seconds = ColdStart(uncached=uncached, cached=round(served.served_seconds, 3))
    faster = f"{uncached / served.served_seconds:.0f} times as fast; " if uncached else ""
    return f"{_timing(served)}: {faster}the same digest, and not one GET from S3"


async def start_more(stage: Stage) -> str:
    """An InferenceService, as a model owner writes it: it needs to know nothing of caches."""
    before = await stage.counters()
    replicas = max(_LEAST_MORE_PODS, len(stage.nodes))
    await stage.venue.apply(manifests.inference_service(stage.scene, stage.model, replicas))
    pods = await stage.view.until(
        lambda: _ready_pods(stage, replicas),
        stage.timeout_seconds(replicas * stage.model.bytes_total),
        lambda: _why_not_all_ready(stage, replicas),
    )
    for pod in pods:
        report = await stage.read_report(pod, stage.timeout_seconds(stage.model.bytes_total))
        if report["digest"] != stage.model.digest:
            raise StepFailed(f"pod {pod.name} read {report['digest']}, but the model is {stage.model.digest}")
    after = await stage.counters()
    _check_unchanged(before.get_requests, after.get_requests)
    return f"{len(pods)} pods of an InferenceService read the model, and S3's GET count is still {after.get_requests}"


def service_pods(stage: Stage) -> list[Pod]:
    """The living pods of the InferenceService."""
    return [pod for pod in stage.pods if pod.metadata.labels.get(_SERVICE_LABEL) == SERVICE and not pod.being_deleted]


def _ready_pods(stage: Stage, replicas: int) -> list[Pod] | None:
    ready = [pod for pod in service_pods(stage) if pod.ready]
    return ready if len(ready) >= replicas else None


def _why_not_all_ready(stage: Stage, replicas: int) -> str:
    pods = service_pods(stage)
    ready = sum(pod.ready for pod in pods)
    unready = next((pod.name for pod in pods if not pod.ready), "")
    why = f": {unready}: {stage.why_not_ready(unready)}" if unready else ""
    return f"{ready} of {replicas} pods of the InferenceService are ready{why}"


def _available(stage: Stage, nodes: int) -> LocalModelCache | None:
    cache = stage.view.caches.get(stage.model.name)
    copies = cache.status.copies if cache is not None else None
    return cache if copies is not None and copies.available == copies.total == nodes else None


def _copies(stage: Stage) -> str:
    cache = stage.view.caches.get(stage.model.name)
    copies = cache.status.copies if cache is not None else None
    return "nothing" if copies is None else f"{copies.available} of {copies.total} are available"


def _check_unchanged(before: int, after: int) -> None:
    if after != before:
        raise StepFailed(f"S3 was asked {after - before} times for objects that the nodes hold")


def _timing(served: Served) -> str:
    return f"on {served.node}, Ready after {served.ready_seconds:.2f} s, all read after {served.served_seconds:.2f} s"
