"""A server on virtual time, with webhooks that are Python functions."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from cachecore.testing import VirtualRuntime
from cachesim.apiserver import ApiServer
from cachesim.apiserver.builtin import CUSTOM_RESOURCE_DEFINITION, NAMESPACE
from cachesim.apiserver.testing import ContractApi, typed
from cachesim.apiserver.testing_backstage import MemoryBackstage
from cachesim.apiserver.testing_kinds import WIDGET_DEFINITION
from cachesim.apiserver.testing_webhooks import FunctionCaller, WebhookFunctions


class Cluster:
    """One test's server; `run` is a coroutine that gets the suite's verbs."""

    def __init__(self, *, namespace: str = "unit", **options: Any) -> None:
        self.runtime = VirtualRuntime()
        functions = WebhookFunctions(self.runtime)
        self.server = ApiServer(self.runtime, admission=FunctionCaller(functions), **options)
        backstage = MemoryBackstage(self.server, functions)
        self.api = ContractApi(self.server, self.runtime, namespace=namespace, backstage=backstage)

    def run(self, test: Callable[[ContractApi], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            self.server.spawn_controllers()
            await self.server.create(NAMESPACE, typed(NAMESPACE, {"metadata": {"name": self.api.namespace}}))
            await self.server.create(CUSTOM_RESOURCE_DEFINITION, WIDGET_DEFINITION)
            await self.runtime.settle()  # the controllers have done what they do to a new cluster
            await test(self.api)

        self.runtime.run(main())
