"""One way to speak to any API server, for the contract suite: the in-memory one, the same over HTTP, a real one."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Protocol

from cachecore.errors import ApiError, ApiUnavailable
from cachecore.ports import Runtime
from cachesim.apiserver.errors import error_details
from cachesim.apiserver.options import Answer, DeleteOptions, WriteOptions
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.testing_webhooks import ContractWebhooks, WebhookFunctions
from cachesim.apiserver.verbs import RawVerbs, RawWatch

logger = logging.getLogger(__name__)

WATCH_SECONDS = 30.0
_EVENTUALLY_SECONDS = 30.0
_PAUSE_SECONDS = 0.05


class Backstage(Protocol):
    """What a test asks of its server beside the verbs."""

    functions: WebhookFunctions

    async def compact(self, revision: int) -> None:
        """Forget the history up to `revision`."""
        ...

    async def table(
        self, resource_type: ResourceType, namespace: str, name: str = "", include: str = "Metadata"
    ) -> JsonObject:
        """The Table of one object, or of all of them; `include` says how much of each a row carries."""
        ...

    async def webhook_address(self, name: str) -> JsonObject:
        """The clientConfig that leads to the function of that name, or to nowhere when there is none."""
        ...


class ContractObjects:
    """The objects of one contract test: the verbs, a namespace and names of its own, and patience.

    Objects of cluster scope are named by `unique`, because a real server is shared by every test of a session.
    """

    def __init__(self, verbs: RawVerbs, runtime: Runtime, *, namespace: str) -> None:
        self.verbs = verbs
        self.runtime = runtime
        self.namespace = namespace

    def unique(self, name: str) -> str:
        """A name that no other test has."""
        return f"{name}-{self.namespace}"

    def scope(self, resource_type: ResourceType) -> str:
        return self.namespace if resource_type.namespaced else ""

    async def get(self, resource_type: ResourceType, name: str) -> JsonObject:
        return await self.verbs.get(resource_type, name, self.scope(resource_type))

    async def exists(self, resource_type: ResourceType, name: str) -> bool:
        try:
            await self.get(resource_type, name)
        except ApiError as error:
            if error.status_code == 404:
                return False
            raise
        return True

    async def names(self, resource_type: ResourceType, **query: Any) -> list[str]:
        listed = await self.verbs.list(resource_type, namespace=self.scope(resource_type), **query)
        return [item["metadata"]["name"] for item in listed["items"]]

    async def create(self, resource_type: ResourceType, body: JsonObject, **options: Any) -> JsonObject:
        """Create in the test's namespace; `options` are those of `WriteOptions`."""
        return (await self.answer(resource_type, body, **options)).object

    async def answer(self, resource_type: ResourceType, body: JsonObject, **options: Any) -> Answer:
        """As `create`, with the warnings."""
        return await self.verbs.create(
            resource_type,
            typed(resource_type, body),
            namespace=self.scope(resource_type),
            options=WriteOptions(**options),
        )

    async def update(
        self, resource_type: ResourceType, body: JsonObject, *, subresource: str = "", **options: Any
    ) -> JsonObject:
        answer = await self.verbs.update(
            resource_type,
            body["metadata"]["name"],
            typed(resource_type, body),
            namespace=self.scope(resource_type),
            subresource=subresource,
            options=WriteOptions(**options),
        )
        return answer.object

    async def patch(
        self,
        resource_type: ResourceType,
        name: str,
        patch_type: str,
        body: Any,
        *,
        subresource: str = "",
        **options: Any,
    ) -> JsonObject:
        answer = await self.verbs.patch(
            resource_type,
            name,
            patch_type,
            body,
            namespace=self.scope(resource_type),
            subresource=subresource,
            options=WriteOptions(**options),
        )
        return answer.object

    async def merge(
        self, resource_type: ResourceType, name: str, body: JsonObject, *, subresource: str = "", **options: Any
    ) -> JsonObject:
        """A JSON merge patch."""
        return await self.patch(
            resource_type, name, "application/merge-patch+json", body, subresource=subresource, **options
        )

    async def apply(
        self, resource_type: ResourceType, name: str, body: JsonObject, *, manager: str, **options: Any
    ) -> JsonObject:
        """A server-side apply by `manager`."""
        return await self.patch(
            resource_type,
            name,
            "application/apply-patch+yaml",
            typed(resource_type, {**body, "metadata": {**(body.get("metadata") or {}), "name": name}}),
            field_manager=manager,
            **options,
        )

    async def delete(self, resource_type: ResourceType, name: str, **options: Any) -> JsonObject:
        answer = await self.verbs.delete(
            resource_type, name, namespace=self.scope(resource_type), options=DeleteOptions(**options)
        )
        return answer.object

    async def watch(self, resource_type: ResourceType, **query: Any) -> RawWatch:
        query.setdefault("timeout_seconds", WATCH_SECONDS)
        return await self.verbs.watch(resource_type, namespace=self.scope(resource_type), **query)

    async def revision(self, resource_type: ResourceType) -> str:
        """The resourceVersion of a list of that kind, now."""
        listed = await self.verbs.list(resource_type, namespace=self.scope(resource_type))
        return str(listed["metadata"]["resourceVersion"])

    async def eventually(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Wait until it holds; fail when it does not within half a minute. What goes unanswered is asked again."""
        deadline = self.runtime.monotonic() + _EVENTUALLY_SECONDS
        while not await _answered(holds):
            if self.runtime.monotonic() > deadline:
                raise AssertionError(f"not within {_EVENTUALLY_SECONDS:.0f} seconds: {holds}")
            await self.runtime.sleep(_PAUSE_SECONDS)

    async def gone(self, resource_type: ResourceType, name: str) -> None:
        """Wait until the object is no more."""

        async def absent() -> bool:
            return not await self.exists(resource_type, name)

        await self.eventually(absent)


class ContractApi(ContractObjects):
    """What a test of the API server gets: beside the objects, what goes on behind the server."""

    def __init__(self, verbs: RawVerbs, runtime: Runtime, *, namespace: str, backstage: Backstage) -> None:
        super().__init__(verbs, runtime, namespace=namespace)
        self.backstage = backstage
        self.webhooks = ContractWebhooks(self, backstage.functions)

    async def compact(self, resource_type: ResourceType) -> None:
        """Forget the history of everything up to now."""
        await self.backstage.compact(int(await self.revision(resource_type)))

    async def table(self, resource_type: ResourceType, name: str = "", include: str = "Metadata") -> JsonObject:
        return await self.backstage.table(resource_type, self.scope(resource_type), name, include)


async def _answered(holds: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await holds()
    except ApiUnavailable as error:
        logger.warning("asked again: %s", error)
        return False


ContractTest = Callable[[ContractApi], Coroutine[Any, Any, None]]


class ContractServer(Protocol):
    """One kind of server that the suite runs against."""

    def run(self, test: ContractTest) -> None:
        """Run one test on it, in a namespace of its own, with the suite's CustomResourceDefinition in place."""
        ...


def typed(resource_type: ResourceType, body: JsonObject) -> JsonObject:
    """The body with the kind's apiVersion and kind, where it says nothing else."""
    return {"apiVersion": resource_type.api_version, "kind": resource_type.kind, **body}


@contextlib.contextmanager
def refused(code: int, reason: str = "") -> Iterator[list[ApiError]]:
    """Assert that the block ends in that error; the list holds it afterwards."""
    caught: list[ApiError] = []
    try:
        yield caught
    except ApiError as error:
        caught.append(error)
        if error.status_code != code or (reason and error.reason != reason):
            raise AssertionError(
                f"expected {code} {reason}, got {error.status_code} {error.reason}: {error}"
            ) from error
    else:
        raise AssertionError(f"expected {code} {reason}, but nothing was refused")


def causes(error: ApiError) -> list[tuple[str, str]]:
    """The fields that a Status complains of, with the reason of each."""
    return [(cause.get("field", ""), cause.get("reason", "")) for cause in error_details(error).get("causes") or ()]


async def collect(watch: RawWatch, count: int) -> list[JsonObject]:
    """The next events that are no bookmarks."""
    events: list[JsonObject] = []
    while len(events) < count:
        event = await watch.receive()
        if event is None:
            raise AssertionError(f"the watch ended after {len(events)} of {count} events")
        if event["type"] != "BOOKMARK":
            events.append(event)
    return events
