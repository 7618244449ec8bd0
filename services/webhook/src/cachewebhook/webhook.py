"""The admission webhook: informers that know the caches, and answers to reviews out of what they know."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import msgspec
from prometheus_client import CollectorRegistry

from cachecore.controller.informer import Informer
from cachecore.errors import ApiError, NotFound
from cachecore.ports.cluster import ClusterClient
from cachecore.ports.runtime import Runtime
from cachecore.resources.core import Node
from cachecore.resources.meta import JsonObject, Resource
from cachecore.resources.serving import (
    InferenceService,
    LLMInferenceService,
    LocalModelCache,
    LocalModelNamespaceCache,
    LocalModelNodeGroup,
)
from cachecore.scheduling import schedulable
from cachecore.tasks import TaskGroup
from cachewebhook.admission import Admission, Reason, admit
from cachewebhook.catalog import Catalog
from cachewebhook.metrics import WebhookMetrics
from cachewebhook.review import AdmissionRequest, Answer, MalformedReview, read_review, write_answer
from cachewebhook.validation import KINDS, Service, Situation, Verdict, validate_delete, validate_write

MUTATE_PATH = "/mutate-pods"
VALIDATE_PATH = "/validate-localmodels"
_KSERVE_RECHECK_SECONDS = 30.0

logger = logging.getLogger(__name__)


class WebhookOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`agent_image` is the guard's; for `patience_seconds` a refusal waits for news that may lift it."""

    agent_image: str
    patience_seconds: float = 1.5
    resync_seconds: float = 600.0


class Webhook:
    """Answers from memory: no review waits for the API server."""

    def __init__(
        self,
        runtime: Runtime,
        client: ClusterClient,
        options: WebhookOptions,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._runtime = runtime
        self._client = client
        self._options = options
        self.metrics = WebhookMetrics(registry if registry is not None else CollectorRegistry())
        resync = options.resync_seconds
        self._caches = Informer(runtime, client, LocalModelCache, resync_seconds=resync)
        self._namespace_caches = Informer(runtime, client, LocalModelNamespaceCache, resync_seconds=resync)
        self._groups = Informer(runtime, client, LocalModelNodeGroup, resync_seconds=resync)
        self._nodes = Informer(runtime, client, Node, resync_seconds=resync)
        self._inference_services = Informer(runtime, client, InferenceService, resync_seconds=resync)
        self._llm_services = Informer(runtime, client, LLMInferenceService, resync_seconds=resync)
        self._absent_kinds: set[str] = set()
        self._catalog: Catalog | None = None
        self._caches.add_listener(self._forget_catalog)
        self._namespace_caches.add_listener(self._forget_catalog)
        self._groups.add_listener(self._forget_catalog)
        self._nodes.add_listener(self._node_changed)

    @property
    def ready(self) -> bool:
        """Whether the caches, groups and nodes are known. KServe's services may not be installed, and do not count."""
        return all(informer.synced for informer in (self._caches, self._namespace_caches, self._groups, self._nodes))

    async def wait_ready(self) -> None:
        await self._caches.wait_synced()
        await self._namespace_caches.wait_synced()
        await self._groups.wait_synced()
        await self._nodes.wait_synced()

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        group = TaskGroup(self._runtime)
        group.spawn(self._caches.run(), name="informer-caches")
        group.spawn(self._namespace_caches.run(), name="informer-namespace-caches")
        group.spawn(self._groups.run(), name="informer-groups")
        group.spawn(self._nodes.run(), name="informer-nodes")
        group.spawn(self._follow_services(self._inference_services), name="informer-inference-services")
        group.spawn(self._follow_services(self._llm_services), name="informer-llm-services")
        await group.join()

    async def _follow_services(self, informer: Informer[InferenceService] | Informer[LLMInferenceService]) -> None:
        """Wait for KServe to be installed, without a word of complaint, then follow its services."""
        kind = informer.kind
        while True:
            try:
                await self._client.list(kind, limit=1)
            except NotFound:
                self._absent_kinds.add(kind.resource_type.kind)
            except ApiError as error:
                logger.warning("cannot tell whether there are %s: %s", kind.resource_type.plural, error)
            else:
                self._absent_kinds.discard(kind.resource_type.kind)
                await informer.run()
            await self._runtime.sleep(_KSERVE_RECHECK_SECONDS)

    def review(self, path: str, body: bytes) -> bytes:
        """The answer to one AdmissionReview. Raises `MalformedReview`."""
        request = read_review(body)
        answer, _ = self._decide(path, request)
        return self._written(request, answer)

    async def review_patiently(self, path: str, body: bytes) -> bytes:
        """`review`, but a refusal that may come of stale news is thought over, as the news comes in.

        A group that was made right before its cache is not yet known; a service that was just deleted still is.
        """
        request = read_review(body)
        deadline = self._runtime.monotonic() + self._options.patience_seconds
        while True:
            answer, may_be_stale = self._decide(path, request)
            left_seconds = deadline - self._runtime.monotonic()
            if not may_be_stale or left_seconds <= 0:
                return self._written(request, answer)
            await self._runtime.sleep(min(0.1, left_seconds))

    def _decide(self, path: str, request: AdmissionRequest) -> tuple[Answer, bool]:
        """The answer, and whether news may change it."""
        start = self._runtime.monotonic()
        if path == MUTATE_PATH:
            decided = self._mutate(request), False
        elif path == VALIDATE_PATH:
            decided = self._validate(request)
        else:
            raise MalformedReview(f"nothing is served at {path}: use {MUTATE_PATH} or {VALIDATE_PATH}")
        self.metrics.review_seconds.labels(path).observe(self._runtime.monotonic() - start)
        return decided

    def _written(self, request: AdmissionRequest, answer: Answer) -> bytes:
        if request.kind.kind in KINDS:
            allowed = str(answer.allowed).lower()
            self.metrics.validations.labels(request.kind.kind, request.operation, allowed).inc()
            if not answer.allowed:
                logger.info(
                    "refused %s of %s %s: %s", request.operation, request.kind.kind, request.name, answer.message
                )
        return write_answer(request, answer)

    def _mutate(self, request: AdmissionRequest) -> Answer:
        if request.operation != "CREATE" or request.kind.kind != "Pod" or request.sub_resource:
            return Answer()
        pod = _object(request.object, "request.object")
        try:
            admission = admit(
                pod,
                namespace=request.namespace or (pod.get("metadata") or {}).get("namespace", ""),
                catalog=self._current_catalog(),
                agent_image=self._options.agent_image,
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise MalformedReview(f"request.object is no Pod: {error}") from error
        self.metrics.admissions.labels(admission.reason).inc()
        _log_admission(request, pod, admission)
        return Answer(
            patch=admission.patch,
            warnings=admission.warnings,
            audit_annotations={"reason": admission.reason, "message": admission.message},
        )

    def _validate(self, request: AdmissionRequest) -> tuple[Answer, bool]:
        kind = KINDS.get(request.kind.kind)
        if kind is None or request.sub_resource:
            return Answer(), False
        verdict = self._verdict(request, kind)
        if verdict.allowed:
            return Answer(warnings=verdict.warnings), False
        message = "; ".join(verdict.problems)
        reason, code = ("Forbidden", 403) if verdict.in_use else ("Invalid", 422)
        return Answer(allowed=False, message=message, reason=reason, code=code), verdict.may_be_stale

    def _verdict(self, request: AdmissionRequest, kind: type[Resource]) -> Verdict:
        user = request.user_info.username
        match request.operation:
            case "DELETE":
                return validate_delete(_typed(request.old_object, kind, "oldObject"), self._situation(), user=user)
            case "CREATE":
                return validate_write(_typed(request.object, kind, "object"), None, self._situation(), user=user)
            case "UPDATE":
                new = _typed(request.object, kind, "object")
                old = _typed(request.old_object, kind, "oldObject")
                return validate_write(new, old, self._situation(), user=user)
        return Verdict()

    def _situation(self) -> Situation:
        informers: tuple[Informer[InferenceService] | Informer[LLMInferenceService], ...] = (
            self._inference_services,
            self._llm_services,
        )
        services: list[Service] = []
        for informer in informers:
            services += informer.list()
        return Situation(
            caches=tuple(self._caches.list()),
            namespace_caches=tuple(self._namespace_caches.list()),
            groups=tuple(self._groups.list()),
            services=tuple(services),
            known_kinds=tuple(
                informer.kind.resource_type.kind
                for informer in informers
                if informer.synced or informer.kind.resource_type.kind in self._absent_kinds
            ),
        )

    def _current_catalog(self) -> Catalog:
        if self._catalog is None:
            self._catalog = Catalog(
                caches=self._caches.list(),
                namespace_caches=self._namespace_caches.list(),
                groups=self._groups.list(),
                nodes=self._nodes.list(),
            )
        return self._catalog

    def _forget_catalog(self, old: Resource | None, new: Resource | None) -> None:
        if old is not new:
            self._catalog = None

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        """Nodes report often, and mostly nothing that matters here."""
        if old is None or new is None or _placement_facts(old) != _placement_facts(new):
            self._catalog = None


def _placement_facts(node: Node) -> tuple[object, ...]:
    return (schedulable(node), node.metadata.labels, node.spec.taints, node.status.allocatable)


def _object(raw: msgspec.Raw, field: str) -> JsonObject:
    try:
        return msgspec.json.decode(raw, type=dict[str, object])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise MalformedReview(f"{field} is no object: {error}") from error


def _typed(raw: msgspec.Raw, kind: type[Resource], field: str) -> Resource:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise MalformedReview(f"request.{field} is no {kind.resource_type.kind}: {error}") from error


def _log_admission(request: AdmissionRequest, pod: JsonObject, admission: Admission) -> None:
    quiet: Iterable[Reason] = (Reason.NO_MODEL, Reason.NOT_CACHED, Reason.DISABLED)
    metadata = pod.get("metadata") or {}
    logger.log(
        logging.DEBUG if admission.reason in quiet else logging.INFO,
        "pod %s: %s",
        admission.reason,
        admission.message,
        extra={
            "namespace": request.namespace,
            "pod": metadata.get("name") or metadata.get("generateName", ""),
            "keys": list(admission.keys),
            "changed": bool(admission.patch),
            "dry_run": bool(request.dry_run),
        },
    )
