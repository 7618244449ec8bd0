"""Webhooks that are Python functions, for tests on any API server."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from cachecore.errors import NotFound
from cachecore.ports import Runtime
from cachesim.apiserver.builtin import CONFIG_MAP, MUTATING_WEBHOOK, VALIDATING_WEBHOOK
from cachesim.apiserver.context import WebhookFailure
from cachesim.apiserver.options import WriteOptions
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.testing_kinds import GROUP, WIDGET

if TYPE_CHECKING:
    from cachesim.apiserver.testing import ContractApi

Webhook = Callable[[JsonObject], JsonObject]
"""From the request of a review to its response; `uid` is filled in."""

# Nobody listens there.
DOWN = "https://127.0.0.1:1/"
_PROBE = f"{GROUP}/probe"
_RULE: JsonObject = {
    "apiGroups": [GROUP],
    "apiVersions": ["*"],
    "operations": ["CREATE", "UPDATE", "DELETE"],
    "resources": [WIDGET.plural],
}


class WebhookFunctions:
    """The functions by the name of their webhook, and what they were asked."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._functions: dict[str, tuple[Webhook, float]] = {}
        self.called: list[str] = []
        self.requests: list[JsonObject] = []

    def __contains__(self, name: str) -> bool:
        return name in self._functions

    def add(self, name: str, function: Webhook, *, delay_seconds: float = 0.0) -> None:
        self._functions[name] = (function, delay_seconds)

    async def answer(self, name: str, review: JsonObject) -> JsonObject:
        """The review that comes back."""
        function, delay_seconds = self._functions[name]
        request = review["request"]
        self.called.append(name)
        self.requests.append(request)
        await self._runtime.sleep(delay_seconds)
        return {
            "kind": review["kind"],
            "apiVersion": review["apiVersion"],
            "response": {"uid": request["uid"], **function(request)},
        }


class FunctionCaller:
    """An AdmissionCaller that calls the functions."""

    def __init__(self, functions: WebhookFunctions) -> None:
        self._functions = functions

    async def call(self, webhook: JsonObject, review: JsonObject) -> JsonObject:
        name = webhook["name"]
        if name not in self._functions:
            url = webhook["clientConfig"]["url"]
            raise WebhookFailure(f'failed to call webhook: Post "{url}": connect: connection refused')
        return await self._functions.answer(name, review)


class ContractWebhooks:
    """The webhooks of one test. They see nothing but its namespace: others share a real server with it."""

    def __init__(self, api: ContractApi, functions: WebhookFunctions) -> None:
        self._api = api
        self._functions = functions
        self._probes = 0
        self._configured: list[tuple[ResourceType, str]] = []
        functions.add(self.name("probe"), self._probed)

    def name(self, word: str) -> str:
        """The full name of a webhook of this test."""
        return f"{word}.{self._api.namespace}.test"

    def add(self, word: str, function: Webhook, *, delay_seconds: float = 0.0) -> None:
        """The function behind a webhook; one that has none is down."""
        self._functions.add(self.name(word), function, delay_seconds=delay_seconds)

    @property
    def called(self) -> list[str]:
        """The webhooks that were asked, in order, by their words."""
        return [word for word, _ in self._asked()]

    @property
    def requests(self) -> list[JsonObject]:
        """What they were asked."""
        return [request for _, request in self._asked()]

    async def configure(self, configuration: str, *words: str, mutating: bool = True, **webhook: object) -> None:
        """Register webhooks on widgets, and wait until the server knows of them; `webhook` has more of its fields."""
        kind = MUTATING_WEBHOOK if mutating else VALIDATING_WEBHOOK
        name = self._api.unique(configuration)
        scope = {"matchLabels": {"kubernetes.io/metadata.name": self._api.namespace}}
        common = {"sideEffects": "None", "admissionReviewVersions": ["v1"], "namespaceSelector": scope}
        webhooks = [
            {
                "name": self.name(word),
                "rules": [_RULE],
                "clientConfig": await self._api.backstage.webhook_address(self.name(word)),
                **common,
                **webhook,
            }
            for word in words
        ]
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
        probe = {
            "name": self.name("probe"),
            "rules": [rule],
            "objectSelector": {"matchLabels": {_PROBE: name}},
            "clientConfig": await self._api.backstage.webhook_address(self.name("probe")),
            **common,
        }
        await self._api.create(kind, {"metadata": {"name": name}, "webhooks": [*webhooks, probe]})
        self._configured.append((kind, name))
        await self._api.eventually(lambda: self._sees(name))

    async def clear(self) -> None:
        """Take the configurations away."""
        while self._configured:
            kind, name = self._configured.pop()
            try:
                await self._api.delete(kind, name)
            except NotFound:
                continue

    def _asked(self) -> list[tuple[str, JsonObject]]:
        words = [name.partition(".")[0] for name in self._functions.called]
        pairs = zip(words, self._functions.requests, strict=True)
        return [(word, request) for word, request in pairs if word != "probe"]

    def _probed(self, _request: JsonObject) -> JsonObject:
        self._probes += 1
        return allow()

    async def _sees(self, name: str) -> bool:
        """Whether the server asks the configuration's probe: it learns of its webhooks together, and a little late."""
        before = self._probes
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe", "labels": {_PROBE: name}}}
        options = WriteOptions(dry_run=True)
        await self._api.verbs.create(CONFIG_MAP, body, namespace=self._api.namespace, options=options)
        return self._probes > before


def allow(*operations: JsonObject, **response: object) -> JsonObject:
    """A response that lets the request pass, changed by JSON patch operations."""
    if operations:
        patch = base64.b64encode(msgspec.json.encode(list(operations))).decode()
        response = {**response, "patchType": "JSONPatch", "patch": patch}
    return {"allowed": True, **response}


def deny(message: str = "", code: int = 403, reason: str = "Forbidden") -> JsonObject:
    return {"allowed": False, "status": {"code": code, "reason": reason, "message": message}}


def add_label(name: str, value: str = "") -> Webhook:
    """A webhook that labels the object, and counts how often it did."""

    def webhook(request: JsonObject) -> JsonObject:
        labels = request["object"]["metadata"].get("labels")
        count = int((labels or {}).get(name, "0")) + 1
        labelled = {**(labels or {}), name: value or str(count)}
        return allow({"op": "add", "path": "/metadata/labels", "value": labelled})

    return webhook
