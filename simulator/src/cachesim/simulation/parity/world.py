"""A small simulated world at the moment of a decision: a clock, and an API server that holds what was seen."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

import msgspec
import simpy

from cachecore.decisions import Decision
from cachecore.errors import AlreadyExists
from cachecore.ports import Patch
from cachecore.resources.core import Node
from cachecore.resources.meta import to_object
from cachesim.apiserver import ApiServer, InMemoryClient, WriteOptions
from cachesim.apiserver.resources import JsonObject
from cachesim.definitions import load_definitions
from cachesim.kserve.definitions import kserve_definitions
from cachesim.runtime import START_SECONDS, SimpyRuntime
from cachesim.simulation.manifests import namespace_object
from cachesim.simulation.parity.capture import hearing

# So long before the decision the world begins: what is there must have been noticed by then.
LEAD_SECONDS = 1.0
NAMESPACE = "workloads"


class Moment:
    """The world around one decision, which is made at `monotonic_seconds`, when clocks show `now_seconds`."""

    def __init__(self, *, monotonic_seconds: float = LEAD_SECONDS, now_seconds: float | None = None) -> None:
        self.decided_at_seconds = monotonic_seconds
        self.environment = simpy.Environment(initial_time=monotonic_seconds - LEAD_SECONDS)
        skew = 0.0 if now_seconds is None else now_seconds - START_SECONDS - monotonic_seconds
        self.runtime = SimpyRuntime(self.environment, seed=1, host="parity", clock_skew_seconds=skew)
        self.server = ApiServer(self.runtime, track_managed_fields=False)
        self.client = InMemoryClient(self.server, user_agent="parity")

    async def begin(self) -> None:
        for definition in (*load_definitions(), *kserve_definitions()):
            await self.create(definition)

    async def create(self, body: JsonObject) -> JsonObject:
        """Create an object from its JSON."""
        # By way of JSON itself: its lists are no tuples.
        body = _json(body)
        kind = self.server.registry.find_api_version(body["apiVersion"], body["kind"])
        if kind is None:
            raise AssertionError(f"the API server does not know {body['apiVersion']} {body['kind']}")
        namespace = body["metadata"].get("namespace", "")
        if namespace:
            await self._create_namespace(namespace)
        written = await self.server.create(kind, body, namespace=namespace, options=WriteOptions(user="admin"))
        created: JsonObject = written.object
        return created

    async def create_node(self, node: Node) -> str:
        """Create the node as it was seen; answer its uid."""
        uid = (await self.create(to_object(node)))["metadata"]["uid"]
        # A new node is tainted until it is ready: this one is not new.
        await self.client.patch(Node, node.name, Patch(body={"spec": {"taints": _json(node.spec.taints) or None}}))
        status = Patch(body={"status": _json(node.status)})
        await self.client.patch(Node, node.name, status, subresource="status")
        return str(uid)

    async def _create_namespace(self, name: str) -> None:
        with contextlib.suppress(AlreadyExists):
            await self.create(namespace_object(name))

    async def wait_for_the_moment(self) -> None:
        await self.runtime.sleep(self.decided_at_seconds - self.runtime.monotonic())

    def heard_from(self, logger: logging.Logger, reconcile: Coroutine[Any, Any, object]) -> Decision | None:
        """What the coroutine decides, by its log; None for nothing. What it does then is of no interest."""
        with hearing(logger) as heard:
            task = self.runtime.spawn(reconcile, name="reconcile")
            while not heard.decisions and not task.done():
                self.environment.step()
        if not heard.decisions:
            task.outcome()
        return heard.decisions[0] if heard.decisions else None


def _json(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))
