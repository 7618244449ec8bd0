"""Which webhook concerns itself with which write: rules, selectors, match conditions."""

from __future__ import annotations

from typing import Any

import cel

from cachesim.apiserver.builtin import NAMESPACE
from cachesim.apiserver.cel import CEL_FAILURES, evaluation_fault
from cachesim.apiserver.cel_functions import KUBERNETES_FUNCTIONS
from cachesim.apiserver.context import Attempt
from cachesim.apiserver.errors import forbidden
from cachesim.apiserver.resources import JsonObject, ResourceRegistry, ResourceType
from cachesim.apiserver.selectors import matches_labels, requirements_of
from cachesim.apiserver.store import Store


class Matcher:
    """Decides whether a webhook is called at all."""

    def __init__(self, store: Store, registry: ResourceRegistry) -> None:
        self._store = store
        self._registry = registry
        self._programs: dict[str, cel.Program] = {}

    def matches(self, webhook: JsonObject, attempt: Attempt) -> bool:
        return (
            any(self._rule_matches(rule, webhook, attempt) for rule in webhook.get("rules") or ())
            and self._namespace_matches(webhook, attempt)
            and _object_matches(webhook, attempt)
            and self._conditions_hold(webhook, attempt)
        )

    def _namespace_matches(self, webhook: JsonObject, attempt: Attempt) -> bool:
        requirements = requirements_of(webhook.get("namespaceSelector"))
        if not requirements:
            return True
        if attempt.resource_type is NAMESPACE:
            item = attempt.item if attempt.item is not None else attempt.previous
            return item is not None and matches_labels(requirements, item)
        if not attempt.namespace:
            return True
        namespace = self._store.get(NAMESPACE, "", attempt.namespace)
        return namespace is not None and matches_labels(requirements, namespace)

    def _conditions_hold(self, webhook: JsonObject, attempt: Attempt) -> bool:
        conditions = webhook.get("matchConditions") or ()
        if not conditions:
            return True
        context = cel.Context({}, dict(KUBERNETES_FUNCTIONS))
        for name, value in _variables(attempt).items():
            context.add_variable(name, value)
        faults: list[str] = []
        for each in conditions:
            try:
                if self._program(each["expression"]).execute(context) is not True:
                    # One that does not hold settles it, whatever becomes of the others.
                    return False
            except CEL_FAILURES as error:
                faults.append(f"expression '{each['expression']}' resulted in error: {evaluation_fault(error)}")
        if faults and webhook.get("failurePolicy", "Fail") == "Fail":
            cause = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
            raise forbidden(attempt.resource_type, attempt.name, cause)
        return not faults

    def _rule_matches(self, rule: JsonObject, webhook: JsonObject, attempt: Attempt) -> bool:
        kind = attempt.resource_type
        if not _one_of(attempt.operation, rule.get("operations")) or not _one_of(kind.group, rule.get("apiGroups")):
            return False
        if not _one_of(kind.version, rule.get("apiVersions")) and not self._means_another_version(rule, webhook, kind):
            return False
        scope = rule.get("scope", "*")
        if scope != "*" and (scope == "Namespaced") != kind.namespaced:
            return False
        return any(_resource_matches(each, kind.plural, attempt.subresource) for each in rule.get("resources") or ())

    def _means_another_version(self, rule: JsonObject, webhook: JsonObject, kind: ResourceType) -> bool:
        """With matchPolicy Equivalent a rule for another served version of the same resource matches, too."""
        if webhook.get("matchPolicy", "Equivalent") == "Exact":
            return False
        versions = rule.get("apiVersions") or ()
        return any(self._registry.find(kind.group, version, kind.plural) is not None for version in versions)

    def _program(self, source: str) -> cel.Program:
        found = self._programs.get(source)
        if found is None:
            found = self._programs[source] = cel.compile(source)
        return found


def _variables(attempt: Attempt) -> dict[str, Any]:
    kind = attempt.resource_type
    request = {
        "operation": attempt.operation,
        "name": attempt.name,
        "namespace": attempt.namespace,
        "subResource": attempt.subresource,
        "dryRun": attempt.options.dry_run,
        "kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "resource": {"group": kind.group, "version": kind.version, "resource": kind.plural},
        "userInfo": {"username": attempt.options.user},
    }
    return {"object": attempt.item, "oldObject": attempt.previous, "request": request}


def may_concern(webhook: JsonObject, resource_type: ResourceType) -> bool:
    """Whether any rule of the webhook names the resource, or a subresource of it: what can be told in advance."""
    return any(
        _one_of(resource_type.group, rule.get("apiGroups"))
        and any(each.partition("/")[0] in ("*", resource_type.plural) for each in rule.get("resources") or ())
        for rule in webhook.get("rules") or ()
    )


def _one_of(value: str, allowed: list[str] | None) -> bool:
    return bool(allowed) and ("*" in (allowed or ()) or value in (allowed or ()))


def _resource_matches(pattern: str, plural: str, subresource: str) -> bool:
    wanted, slash, wanted_subresource = pattern.partition("/")
    if pattern == "*/*":
        return True
    if wanted not in ("*", plural):
        return False
    if not slash:
        return not subresource
    return wanted_subresource in ("*", subresource)


def _object_matches(webhook: JsonObject, attempt: Attempt) -> bool:
    """The selector holds for the new or for the old object."""
    requirements = requirements_of(webhook.get("objectSelector"))
    if not requirements:
        return True
    return any(item is not None and matches_labels(requirements, item) for item in (attempt.item, attempt.previous))
