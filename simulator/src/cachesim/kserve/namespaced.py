"""A ClusterClient that sees one namespace only, for rights that go no further."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from cachecore.ports import ClusterClient, ResourceList, Watch
from cachecore.resources.meta import Resource
from cachesim.passing_client import PassingClient

R = TypeVar("R", bound=Resource)
T = TypeVar("T")


class NamespacedClient(PassingClient):
    """Lists and watches of all namespaces are of `namespace` alone; whatever names a namespace passes as it is."""

    def __init__(self, client: ClusterClient, namespace: str) -> None:
        super().__init__(client)
        self._namespace = namespace

    def through(self, verb: str, subject: str, call: Callable[[], Coroutine[Any, Any, T]]) -> Coroutine[Any, Any, T]:
        return call()

    def watched(self, watch: Watch[R]) -> Watch[R]:
        return watch

    def list(self, kind: type[R], *, namespace: str = "", **query: Any) -> Coroutine[Any, Any, ResourceList[R]]:
        return super().list(kind, namespace=namespace or self._namespace, **query)

    def watch(self, kind: type[R], *, namespace: str = "", **query: Any) -> Coroutine[Any, Any, Watch[R]]:
        return super().watch(kind, namespace=namespace or self._namespace, **query)
