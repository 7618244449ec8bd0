"""What people and other controllers do in a scenario, step by step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from cachecore.errors import AlreadyExists, ApiError, NotFound
from cachecore.ports import ClusterClient, Patch, Runtime
from cachecore.quantity import quantity_bytes
from cachecore.resources.core import Namespace, Node, Pod
from cachecore.resources.meta import Resource
from cachecore.resources.serving import (
    InferenceService,
    LocalModelCache,
    LocalModelNamespaceCache,
    LocalModelNode,
    LocalModelNodeGroup,
)
from cachesim.simulation.manifests import (
    GROUP,
    MEMBER_LABEL,
    cache_object,
    group_object,
    namespace_cache_object,
    namespace_object,
    service_object,
)
from cachesim.simulation.scenario import Model, Scenario, Step
from cachesim.simulation.units import duration_seconds
from cachesim.simulation.workload import model_uri, predictor_pod
from cachesim.simulation.world import World

logger = logging.getLogger(__name__)

_AGAIN_SECONDS = 1.0


class Stage(Protocol):
    """What a step does beside asking the API server."""

    async def create(self, body: dict[str, Any]) -> None: ...

    def add_host(self, name: str) -> None: ...

    def scrap_host(self, name: str) -> None: ...

    def release(self, uri: str) -> None: ...


class Story:
    """Carries the steps out, each at its time and until it is done: people try again."""

    def __init__(
        self,
        runtime: Runtime,
        client: ClusterClient,
        stage: Stage,
        world: World,
        scenario: Scenario,
        told: Callable[[str, str], None],
    ) -> None:
        self._runtime = runtime
        self._client = client
        self._stage = stage
        self._world = world
        self._scenario = scenario
        self._told = told
        self._models = {model.name: model for model in scenario.models}
        self.live_pods: dict[tuple[str, str], Model] = {}

    def begin(self) -> None:
        for number, step in enumerate(self._scenario.story, 1):
            self._runtime.spawn(self._at_its_time(step), name=f"step {number}")

    async def _at_its_time(self, step: Step) -> None:
        await self._runtime.sleep(duration_seconds(step.at))
        self._told("story", _words(step))
        while True:
            try:
                await self._take(step)
            except (AlreadyExists, NotFound):
                return
            except ApiError as error:
                logger.info("%s: %s", step.do, error)
                await self._runtime.sleep(_AGAIN_SECONDS)
            else:
                return

    def _take(self, step: Step) -> Coroutine[Any, Any, None]:
        steps: dict[str, Callable[[Step], Coroutine[Any, Any, None]]] = {
            "create-cache": self._create_cache,
            "delete-cache": lambda step: self._client.delete(LocalModelCache, step.name or step.model),
            "pin": lambda step: self._patch(LocalModelCache, step.model, {"spec": {"pinned": True}}),
            "unpin": lambda step: self._patch(LocalModelCache, step.model, {"spec": {"pinned": False}}),
            "create-namespace-cache": self._create_namespace_cache,
            "delete-namespace-cache": lambda step: self._client.delete(
                LocalModelNamespaceCache, step.model, namespace=step.namespace
            ),
            "deploy": self._deploy,
            "undeploy": lambda step: self._client.delete(InferenceService, step.name, namespace=step.namespace),
            "start-pod": self._start_pod,
            "delete-pod": lambda step: self._client.delete(Pod, step.name, namespace=step.namespace),
            "delete-namespace": lambda step: self._client.delete(Namespace, step.namespace),
            "release": self._release,
            "set-limit": self._set_limit,
            "cordon": lambda step: self._patch(Node, step.node, {"spec": {"unschedulable": True}}),
            "uncordon": lambda step: self._patch(Node, step.node, {"spec": {"unschedulable": None}}),
            "leave-group": lambda step: self._patch(Node, step.node, _labels({MEMBER_LABEL: "no"})),
            "join-group": lambda step: self._patch(Node, step.node, _labels({MEMBER_LABEL: None})),
            "add-node": self._add_node,
            "delete-node": self._delete_node,
            "delete-local-node": lambda step: self._client.delete(LocalModelNode, step.node),
            "delete-group": lambda step: self._client.delete(LocalModelNodeGroup, GROUP),
            "create-group": lambda step: self._stage.create(group_object(self._scenario)),
        }
        return steps[step.do](step)

    async def _patch(self, kind: type[Resource], name: str, body: dict[str, Any]) -> None:
        await self._client.patch(kind, name, Patch(body=body))

    async def _create_cache(self, step: Step) -> None:
        await self._stage.create(cache_object(self._models[step.model], step.name))

    async def _namespace(self, name: str) -> None:
        try:
            await self._client.get(Namespace, name)
        except NotFound:
            await self._stage.create(namespace_object(name))

    async def _create_namespace_cache(self, step: Step) -> None:
        await self._namespace(step.namespace)
        await self._stage.create(namespace_cache_object(self._models[step.model], step.namespace))

    async def _deploy(self, step: Step) -> None:
        await self._namespace(step.namespace)
        uri = model_uri(self._models[step.model])
        await self._stage.create(service_object(step.name, step.namespace, uri, step.replicas, step.node))

    async def _start_pod(self, step: Step) -> None:
        await self._namespace(step.namespace)
        await self._client.create(predictor_pod(step.name, self._models[step.model], step.namespace, step.node))

    async def _release(self, step: Step) -> None:
        self._stage.release(model_uri(self._models[step.model]))

    async def _set_limit(self, step: Step) -> None:
        await self._patch(LocalModelNodeGroup, GROUP, {"spec": {"storageLimit": step.size}})
        self._world.limit_changes(quantity_bytes(step.size or "0"))

    async def _add_node(self, step: Step) -> None:
        self._stage.add_host(step.node)

    async def _delete_node(self, step: Step) -> None:
        self._stage.scrap_host(step.node)
        await self._client.delete(Node, step.node)


def _labels(labels: dict[str, str | None]) -> dict[str, Any]:
    return {"metadata": {"labels": labels}}


def _words(step: Step) -> str:
    details = [step.name, step.model, step.node, step.size or ""]
    return " ".join([step.do, *(detail for detail in details if detail)])
