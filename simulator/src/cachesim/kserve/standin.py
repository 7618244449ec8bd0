"""The controller of InferenceServices: as many pods as each wants, and what its status says of them."""

from __future__ import annotations

import logging

from cachecore.controller.controller import Controller, Result
from cachecore.controller.informer import Informer
from cachecore.errors import Conflict, NotFound
from cachecore.names import INFERENCE_SERVICE_LABEL
from cachecore.ports import ClusterClient, Patch, Runtime
from cachecore.resources.core import Pod
from cachecore.resources.meta import JsonObject
from cachecore.resources.serving import InferenceService, NamespacedName
from cachecore.tasks import TaskGroup
from cachecore.timestamps import format_timestamp
from cachesim.kserve.credentials import storage_environment
from cachesim.kserve.predictor import TEMPLATE_HASH_LABEL, KServeOptions, predictor_pod, replicas_of

logger = logging.getLogger(__name__)


class KServeStandIn:
    """Serves InferenceServices in KServe's standard deployment mode, without the Deployment in between.

    Pods that are gone or ended are made again; a changed service gets new pods, and loses the old ones when they serve.
    """

    def __init__(
        self,
        runtime: Runtime,
        client: ClusterClient,
        options: KServeOptions = KServeOptions(),
        *,
        resync_seconds: float = 600.0,
    ) -> None:
        self._runtime = runtime
        self._client = client
        self._options = options
        self._services = Informer(runtime, client, InferenceService, resync_seconds=resync_seconds)
        self._pods = Informer(
            runtime, client, Pod, label_selector=INFERENCE_SERVICE_LABEL, resync_seconds=resync_seconds
        )
        self._controller: Controller[NamespacedName] = Controller(runtime, "kserve-stand-in", self)
        self._services.add_listener(self._service_changed)
        self._pods.add_listener(self._pod_changed)

    async def run(self) -> None:
        group = TaskGroup(self._runtime)
        group.spawn(self._services.run(), name="kserve-services")
        group.spawn(self._pods.run(), name="kserve-pods")
        group.spawn(self._serve(), name="kserve-stand-in")
        await group.join()

    async def _serve(self) -> None:
        await self._services.wait_synced()
        await self._controller.run()

    async def reconcile(self, request: NamespacedName) -> Result:
        service = self._services.get(request.name, request.namespace)
        if service is None or service.being_deleted:
            # Its pods go with it, by their owner references.
            return Result()
        account = (service.spec.get("predictor") or {}).get("serviceAccountName") or "default"
        environment = await storage_environment(self._client, account, service.namespace)
        template = predictor_pod(service, environment, self._options)
        # A quorum read, not the informer: a pod that it has not seen yet would be made twice.
        pods = await self._living_pods(service)
        fresh = [pod for pod in pods if _template_of(pod) == _template_of(template)]
        stale = [pod for pod in pods if _template_of(pod) != _template_of(template)]
        wanted = replicas_of(service)
        for _ in range(wanted - len(fresh)):
            await self._client.create(template)
        serving = [pod for pod in fresh if pod.ready]
        surplus = sorted(fresh, key=lambda pod: (pod.ready, pod.name))[: max(0, len(fresh) - wanted)]
        if len(serving) >= wanted:
            surplus += stale
        for pod in surplus:
            await self._delete(pod)
        await self._write_status(service, ready=len(serving) + sum(pod.ready for pod in stale), wanted=wanted)
        return Result()

    async def _living_pods(self, service: InferenceService) -> list[Pod]:
        """The service's pods that are not on their way out; those that have ended are taken away."""
        listed = await self._client.list(
            Pod, namespace=service.namespace, label_selector=f"{INFERENCE_SERVICE_LABEL}={service.name}"
        )
        owned = [
            pod
            for pod in listed.items
            if not pod.being_deleted and any(owner.uid == service.uid for owner in pod.metadata.owner_references)
        ]
        for pod in owned:
            if pod.terminal:
                await self._delete(pod)
        return [pod for pod in owned if not pod.terminal]

    async def _delete(self, pod: Pod) -> None:
        try:
            await self._client.delete(Pod, pod.name, namespace=pod.namespace, uid=pod.uid)
        except (NotFound, Conflict):
            logger.debug("pod %s/%s is gone", pod.namespace, pod.name)

    async def _write_status(self, service: InferenceService, *, ready: int, wanted: int) -> None:
        status = service_status(service, ready=ready, wanted=wanted, now=self._runtime.now())
        if all(service.status.get(name) == part for name, part in status.items()):
            return
        body = {"metadata": {"uid": service.uid}, "status": status}
        try:
            await self._client.patch(
                InferenceService, service.name, Patch(body=body), namespace=service.namespace, subresource="status"
            )
        except (NotFound, Conflict):
            logger.debug("service %s/%s is gone", service.namespace, service.name)

    def _service_changed(self, old: InferenceService | None, new: InferenceService | None) -> None:
        if new is not None:
            self._controller.enqueue(NamespacedName(namespace=new.namespace, name=new.name))

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new if new is not None else old
        if pod is not None and (service := pod.metadata.labels.get(INFERENCE_SERVICE_LABEL)):
            self._controller.enqueue(NamespacedName(namespace=pod.namespace, name=service))


def service_status(service: InferenceService, *, ready: int, wanted: int, now: float) -> JsonObject:
    """The parts of KServe's status that people and clients wait for."""
    serves = ready >= wanted
    url = f"http://{service.name}-{service.namespace}.example.com"
    before = {condition["type"]: condition for condition in service.status.get("conditions") or ()}
    conditions = []
    for kind in ("PredictorReady", "Ready"):
        status = "True" if serves else "False"
        same = before.get(kind, {}).get("status") == status
        since = before[kind].get("lastTransitionTime") if same else format_timestamp(now)
        reason = {} if serves else {"reason": "MinimumReplicasUnavailable"}
        conditions.append({"type": kind, "status": status, **reason, "lastTransitionTime": since})
    return {
        "observedGeneration": service.metadata.generation,
        "conditions": conditions,
        "url": url,
        "components": {"predictor": {"url": f"http://{service.name}-predictor-{service.namespace}.example.com"}},
        "modelStatus": {
            "copies": {"failedCopies": 0, "totalCopies": ready},
            "states": {
                "activeModelState": "Loaded" if ready else "",
                "targetModelState": "Loaded" if serves else "Pending",
            },
            "transitionStatus": "UpToDate" if serves else "InProgress",
        },
    }


def _template_of(pod: Pod) -> str:
    return pod.metadata.labels.get(TEMPLATE_HASH_LABEL, "")
