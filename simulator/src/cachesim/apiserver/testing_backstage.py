"""What tests ask of the in-memory server beside its verbs."""

from __future__ import annotations

from cachesim.apiserver.http.tables import Printer, TableRequest
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.server import ApiServer
from cachesim.apiserver.testing_webhooks import DOWN, WebhookFunctions


class MemoryBackstage:
    """Of the in-memory server without a front."""

    def __init__(self, server: ApiServer, functions: WebhookFunctions) -> None:
        self._server = server
        self.functions = functions

    async def compact(self, revision: int) -> None:
        self._server.compact(revision)

    async def table(
        self, resource_type: ResourceType, namespace: str, name: str = "", include: str = "Metadata"
    ) -> JsonObject:
        printer = Printer(resource_type, TableRequest("v1", include), self._server.runtime.now)
        if name:
            return printer.of_object(await self._server.get(resource_type, name, namespace))
        return printer.of_list(await self._server.list(resource_type, namespace=namespace))

    async def webhook_address(self, name: str) -> JsonObject:
        return {"url": f"https://127.0.0.1/{name}" if name in self.functions else DOWN}
