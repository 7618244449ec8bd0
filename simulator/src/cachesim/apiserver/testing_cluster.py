"""A server on virtual time, and webhooks that are Python functions."""

from __future__ import annotations

import base64
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from cachecore.testing import VirtualRuntime
from cachesim.apiserver import ApiServer, WebhookFailure
from cachesim.apiserver.builtin import (
    CUSTOM_RESOURCE_DEFINITION,
    MUTATING_WEBHOOK,
    NAMESPACE,
    VALIDATING_WEBHOOK,
)
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import ContractApi, typed
from cachesim.apiserver.testing_kinds import WIDGET_DEFINITION

Webhook = Callable[[JsonObject], JsonObject]


class Webhooks:
    """An AdmissionCaller whose webhooks are functions from the request to the response, by name."""

    def __init__(self, runtime: VirtualRuntime) -> None:
        self._runtime = runtime
        self._functions: dict[str, Webhook] = {}
        self.delays_seconds: dict[str, float] = {}
        self.called: list[str] = []
        self.requests: list[JsonObject] = []

    def add(self, name: str, function: Webhook, *, delay_seconds: float = 0.0) -> None:
        self._functions[name] = function
        self.delays_seconds[name] = delay_seconds

    async def call(self, webhook: JsonObject, review: JsonObject) -> JsonObject:
        name = webhook["name"]
        self.called.append(name)
        self.requests.append(review["request"])
        await self._runtime.sleep(self.delays_seconds.get(name, 0.0))
        if name not in self._functions:
            raise WebhookFailure("failed to call webhook: connection refused")
        response = self._functions[name](review["request"])
        return {**review, "response": {"uid": review["request"]["uid"], **response}}


class Cluster:
    """One test's server; `run` is a coroutine that gets the suite's verbs."""

    def __init__(self, **options: Any) -> None:
        self.runtime = VirtualRuntime()
        self.webhooks = Webhooks(self.runtime)
        self.server = ApiServer(self.runtime, admission=self.webhooks, **options)
        self.api = ContractApi(self.server, self.runtime, namespace="unit")

    def run(self, test: Callable[[ContractApi], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            self.server.spawn_controllers()
            await self.server.create(NAMESPACE, typed(NAMESPACE, {"metadata": {"name": "unit"}}))
            await self.server.create(CUSTOM_RESOURCE_DEFINITION, WIDGET_DEFINITION)
            await self.runtime.settle()  # the controllers have done what they do to a new cluster
            await test(self.api)

        self.runtime.run(main())

    async def configure(self, configuration: str, *names: str, mutating: bool = True, **webhook: Any) -> None:
        """Register webhooks on the creation and update of widgets."""
        kind = MUTATING_WEBHOOK if mutating else VALIDATING_WEBHOOK
        rule = {
            "apiGroups": ["*"],
            "apiVersions": ["*"],
            "operations": ["CREATE", "UPDATE", "DELETE"],
            "resources": ["widgets"],
        }
        webhooks = [
            {
                "name": name,
                "rules": [rule],
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": f"https://{name}/"},
                **webhook,
            }
            for name in names
        ]
        await self.api.create(kind, {"metadata": {"name": configuration}, "webhooks": webhooks})


def allow(*operations: JsonObject, **response: Any) -> JsonObject:
    """A response that lets the request pass, changed by JSON patch operations."""
    if operations:
        patch = base64.b64encode(msgspec.json.encode(list(operations))).decode()
        response = {**response, "patchType": "JSONPatch", "patch": patch}
    return {"allowed": True, **response}


def add_label(name: str, value: str = "") -> Webhook:
    """A webhook that labels the object, and counts how often it did."""

    def webhook(request: JsonObject) -> JsonObject:
        labels = request["object"]["metadata"].get("labels")
        count = int((labels or {}).get(name, "0")) + 1
        labelled = {**(labels or {}), name: value or str(count)}
        return allow({"op": "add", "path": "/metadata/labels", "value": labelled})

    return webhook
