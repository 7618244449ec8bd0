"""Admission webhooks: which are called, in which order, and what their answers do."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Protocol

import jsonpatch
import jsonpointer
import msgspec

from cachecore.errors import ApiError, ApiUnavailable
from cachecore.ports import Runtime
from cachesim.apiserver.builtin import MUTATING_WEBHOOK, VALIDATING_WEBHOOK
from cachesim.apiserver.context import Attempt, WebhookFailure
from cachesim.apiserver.errors import bad_request, error_of, quote, with_details
from cachesim.apiserver.matching import Matcher, may_concern
from cachesim.apiserver.metadata import new_uid
from cachesim.apiserver.resources import JsonObject, ResourceRegistry, ResourceType
from cachesim.apiserver.store import Store

__all__ = ["Admission", "AdmissionCaller", "WebhookFailure"]

_EXEMPT = frozenset({MUTATING_WEBHOOK.qualified_plural, VALIDATING_WEBHOOK.qualified_plural})


class AdmissionCaller(Protocol):
    """Reaches one webhook."""

    async def call(self, webhook: JsonObject, review: JsonObject) -> JsonObject:
        """Send the AdmissionReview to `webhook["clientConfig"]`; return the review that comes back.

        Raises WebhookFailure.
        """
        ...


class Verdict(msgspec.Struct, frozen=True):
    """One webhook's answer: a changed object or None, and its warnings."""

    item: JsonObject | None
    warnings: tuple[str, ...]


class Admission:
    """The chain of webhooks that are configured in the store."""

    def __init__(self, caller: AdmissionCaller, store: Store, registry: ResourceRegistry, runtime: Runtime) -> None:
        self._caller = caller
        self._store = store
        self._registry = registry
        self._runtime = runtime
        self._matcher = Matcher(store, registry)
        self._revision = -1
        self._by_resource: dict[tuple[str, str, str], list[JsonObject]] = {}

    def concerns(self, resource_type: ResourceType) -> bool:
        return bool(
            self._webhooks(MUTATING_WEBHOOK, resource_type) or self._webhooks(VALIDATING_WEBHOOK, resource_type)
        )

    async def mutate(self, attempt: Attempt) -> tuple[JsonObject, tuple[str, ...]]:
        """Each webhook once, in order; once more those that ask for it, when others changed the object after them.

        A deletion has no object: webhooks can't change it, but deny it.
        """
        item: JsonObject = attempt.item if attempt.item is not None else {}
        warnings: list[str] = []
        seen: list[tuple[JsonObject, JsonObject]] = []
        for webhook in self._webhooks(MUTATING_WEBHOOK, attempt.resource_type):
            item = await self._mutate_once(webhook, attempt, item, warnings)
            if webhook.get("reinvocationPolicy") == "IfNeeded":
                seen.append((webhook, item))
        for webhook, left in seen:
            if left != item:
                item = await self._mutate_once(webhook, attempt, item, warnings)
        return item, tuple(warnings)

    async def validate(self, attempt: Attempt) -> tuple[str, ...]:
        """All at once: each is asked, whatever the others say; the first denial in their order is the answer."""
        webhooks = self._webhooks(VALIDATING_WEBHOOK, attempt.resource_type)
        if len(webhooks) == 1:
            outcomes = [await self._outcome(webhooks[0], attempt)]
        else:
            tasks = [
                self._runtime.spawn(self._outcome(webhook, attempt), name=f"review by {webhook['name']}")
                for webhook in webhooks
            ]
            outcomes = [await task.join() for task in tasks]
        warnings: list[str] = []
        for outcome in outcomes:
            if isinstance(outcome, ApiError):
                raise outcome
            warnings += outcome.warnings if outcome is not None else ()
        return tuple(warnings)

    async def _outcome(self, webhook: JsonObject, attempt: Attempt) -> Verdict | ApiError | None:
        try:
            return await self._ask(webhook, attempt, validating=True)
        except ApiError as error:
            return error

    async def _mutate_once(
        self, webhook: JsonObject, attempt: Attempt, item: JsonObject, warnings: list[str]
    ) -> JsonObject:
        changed = attempt if attempt.item is None else msgspec.structs.replace(attempt, item=item)
        verdict = await self._ask(webhook, changed)
        if verdict is None:
            return item
        warnings.extend(verdict.warnings)
        return item if verdict.item is None else verdict.item

    def _webhooks(self, kind: ResourceType, resource_type: ResourceType) -> list[JsonObject]:
        """Those with a rule for the resource, in the order of the configurations' names, then as each lists them."""
        tables = (self._store.table(MUTATING_WEBHOOK), self._store.table(VALIDATING_WEBHOOK))
        revision = max(table.changed_revision for table in tables)
        if revision != self._revision:
            self._by_resource.clear()
            self._revision = revision
        key = (kind.kind, resource_type.group, resource_type.plural)
        found = self._by_resource.get(key)
        if found is None:
            found = self._by_resource[key] = self._configured(kind, resource_type)
        return found

    def _configured(self, kind: ResourceType, resource_type: ResourceType) -> list[JsonObject]:
        if resource_type.qualified_plural in _EXEMPT:
            return []
        table = self._store.table(kind)
        items = [table.get(*key) for key in table.all_keys()]
        webhooks = [webhook for item in items if item is not None for webhook in item.get("webhooks") or ()]
        return [webhook for webhook in webhooks if may_concern(webhook, resource_type)]

    async def _ask(self, webhook: JsonObject, attempt: Attempt, *, validating: bool = False) -> Verdict | None:
        """None: the webhook does not concern itself with this, or failed and may be ignored."""
        name = webhook["name"]
        try:
            if not self._matcher.matches(webhook, attempt):
                return None
            if attempt.options.dry_run and webhook.get("sideEffects") not in ("None", "NoneOnDryRun"):
                raise bad_request(f"admission webhook {quote(name)} does not support dry run")
            review = self._review(attempt)
            answer = await self._call(webhook, review)
            return _verdict(webhook, attempt, review, answer, validating=validating)
        except WebhookFailure as failure:
            if webhook.get("failurePolicy", "Fail") == "Ignore":
                return None
            raise _call_failed(name, failure) from failure

    async def _call(self, webhook: JsonObject, review: JsonObject) -> JsonObject:
        """Within the webhook's timeout: the call runs beside, so that it can be given up."""
        finished = self._runtime.signal()
        outcome: list[JsonObject | WebhookFailure] = []

        async def call() -> None:
            try:
                outcome.append(await self._caller.call(webhook, review))
            except WebhookFailure as failure:
                outcome.append(failure)
            finished.set()

        task = self._runtime.spawn(call(), name=f"webhook {webhook['name']}")
        if not await finished.wait(float(webhook.get("timeoutSeconds", 10))):
            task.cancel()
            raise WebhookFailure("failed to call webhook: context deadline exceeded")
        if isinstance(outcome[0], WebhookFailure):
            raise outcome[0]
        return outcome[0]

    def _review(self, attempt: Attempt) -> JsonObject:
        kind = attempt.resource_type
        group_version = {"group": kind.group, "version": kind.version}
        request: JsonObject = {
            "uid": new_uid(self._runtime.random),
            "kind": {**group_version, "kind": kind.kind},
            "resource": {**group_version, "resource": kind.plural},
            "requestKind": {**group_version, "kind": kind.kind},
            "requestResource": {**group_version, "resource": kind.plural},
            "name": attempt.name,
            "operation": attempt.operation,
            "userInfo": {"username": attempt.options.user or "system:admin", "groups": ["system:authenticated"]},
            "object": attempt.item,
            "oldObject": attempt.previous,
            "dryRun": attempt.options.dry_run,
            "options": _options(attempt),
        }
        if attempt.namespace:
            request["namespace"] = attempt.namespace
        if attempt.subresource:
            request["subResource"] = request["requestSubResource"] = attempt.subresource
        return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}


def _options(attempt: Attempt) -> JsonObject:
    """Those of the request; a patch has those of an update."""
    options: JsonObject = {"kind": f"{attempt.operation.capitalize()}Options", "apiVersion": "meta.k8s.io/v1"}
    if attempt.options.field_manager:
        options["fieldManager"] = attempt.options.field_manager
    if attempt.options.dry_run:
        options["dryRun"] = ["All"]
    return options


def _verdict(
    webhook: JsonObject, attempt: Attempt, review: JsonObject, answer: JsonObject, *, validating: bool
) -> Verdict:
    response = answer.get("response")
    if not isinstance(response, dict):
        raise WebhookFailure("expected response object of type AdmissionReview, got none")
    wanted = review["request"]["uid"]
    if response.get("uid") != wanted:
        raise WebhookFailure(
            f'received invalid webhook response: expected response.uid="{wanted}", got "{response.get("uid")}"'
        )
    if not response.get("allowed"):
        raise _denied(webhook["name"], response.get("status") or {})
    warnings = tuple(str(warning) for warning in response.get("warnings") or ())
    if not response.get("patch"):
        return Verdict(None, warnings)
    if validating:
        raise WebhookFailure("received invalid webhook response: validating webhook may not return response.patch")
    if response.get("patchType") != "JSONPatch":
        raise WebhookFailure("received invalid webhook response: response.patchType must be JSONPatch")
    if attempt.item is None:
        raise WebhookFailure("received invalid webhook response: there is no object that a patch could change")
    return Verdict(_patched(attempt.item, response["patch"]), warnings)


def _patched(item: Any, encoded: str) -> JsonObject:
    try:
        operations = msgspec.json.decode(base64.b64decode(encoded, validate=True))
        patched = jsonpatch.JsonPatch(operations).apply(item)
    except (
        binascii.Error,
        msgspec.DecodeError,
        jsonpatch.JsonPatchException,
        jsonpointer.JsonPointerException,
        TypeError,
        KeyError,
    ) as error:
        raise WebhookFailure(f"the webhook's patch can't be applied: {error}") from error
    if not isinstance(patched, dict):
        raise WebhookFailure("the webhook's patch leaves no object")
    return patched


def _denied(name: str, status: JsonObject) -> ApiError:
    denied = f"admission webhook {quote(name)} denied the request"
    explanation = status.get("message") or status.get("reason")
    message = f"{denied}: {explanation}" if explanation else f"{denied} without explanation"
    code = max(int(status.get("code") or 0), 400)
    return error_of(code, message, str(status.get("reason") or ""), status.get("details"))


def _call_failed(name: str, failure: WebhookFailure) -> ApiError:
    cause = f"failed calling webhook {quote(name)}: {failure}"
    error = ApiUnavailable(f"Internal error occurred: {cause}", status_code=500, reason="InternalError")
    return with_details(error, {"causes": [{"message": cause}]})
