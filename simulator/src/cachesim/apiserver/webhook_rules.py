"""What the configuration of a webhook must say."""

from __future__ import annotations

from urllib.parse import urlsplit

import cel

from cachesim.apiserver.errors import FieldError, duplicate, invalid, required, unsupported
from cachesim.apiserver.metadata import name_error, qualified_name_fault
from cachesim.apiserver.resources import JsonObject

_VERSIONS = ("v1", "v1beta1")
_OPERATIONS = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"]
_CHOICES = {
    "failurePolicy": ["Fail", "Ignore"],
    "matchPolicy": ["Equivalent", "Exact"],
    "reinvocationPolicy": ["IfNeeded", "Never"],
}
_SELECTOR_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def check_webhooks(item: JsonObject, previous: JsonObject | None) -> list[FieldError]:
    """The faults of one configuration's webhooks."""
    errors: list[FieldError] = []
    names: list[str] = []
    for index, webhook in enumerate(item.get("webhooks") or []):
        path = f"webhooks[{index}]"
        errors += _name_errors(webhook.get("name", ""), f"{path}.name", names)
        errors += _version_errors(webhook.get("admissionReviewVersions"), f"{path}.admissionReviewVersions")
        for position, rule in enumerate(webhook.get("rules") or []):
            errors += _rule_errors(rule, f"{path}.rules[{position}]")
        errors += [
            unsupported(f"{path}.{field}", webhook[field], allowed)
            for field, allowed in _CHOICES.items()
            if webhook.get(field) and webhook[field] not in allowed
        ]
        errors += _side_effect_errors(webhook.get("sideEffects"), f"{path}.sideEffects")
        if not 1 <= webhook.get("timeoutSeconds", 10) <= 30:
            detail = "the timeout value must be between 1 and 30 seconds"
            errors.append(invalid(f"{path}.timeoutSeconds", webhook["timeoutSeconds"], detail))
        for field in ("namespaceSelector", "objectSelector"):
            errors += _selector_errors(webhook.get(field) or {}, f"{path}.{field}")
        errors += _client_errors(webhook.get("clientConfig") or {}, f"{path}.clientConfig")
        errors += _condition_errors(webhook.get("matchConditions") or [], f"{path}.matchConditions")
    return errors


def _name_errors(name: str, path: str, names: list[str]) -> list[FieldError]:
    if not name:
        return [required(path)]
    errors = [duplicate(path, name)] if name in names else []
    names.append(name)
    wrong = name_error(path, name, label=False)
    if wrong is not None:
        return [*errors, wrong]
    if len(name.split(".")) < 3:
        errors.append(invalid(path, name, "should be a domain with at least three segments separated by dots"))
    return errors


def _version_errors(versions: list[str] | None, path: str) -> list[FieldError]:
    known = ", ".join(_VERSIONS)
    if not versions:
        return [required(path, f"must specify one of {known}")]
    if not set(versions) & set(_VERSIONS):
        return [invalid(path, versions, f"must include at least one of {known}")]
    return []


def _rule_errors(rule: JsonObject, path: str) -> list[FieldError]:
    errors = [
        unsupported(f"{path}.operations[{index}]", operation, _OPERATIONS)
        for index, operation in enumerate(rule.get("operations") or [])
        if operation not in _OPERATIONS
    ]
    fields = ("operations", "apiGroups", "apiVersions", "resources")
    return errors + [required(f"{path}.{field}") for field in fields if not rule.get(field)]


def _side_effect_errors(side_effects: str | None, path: str) -> list[FieldError]:
    if side_effects is None:
        return [required(path, "must specify one of None, NoneOnDryRun")]
    allowed = ["None", "NoneOnDryRun"]
    return [] if side_effects in allowed else [unsupported(path, side_effects, allowed)]


def _selector_errors(selector: JsonObject, path: str) -> list[FieldError]:
    return [
        invalid(f"{path}.matchExpressions[{index}].operator", each.get("operator"), "not a valid selector operator")
        for index, each in enumerate(selector.get("matchExpressions") or [])
        if each.get("operator") not in _SELECTOR_OPERATORS
    ]


def _client_errors(client: JsonObject, path: str) -> list[FieldError]:
    if bool(client.get("url")) == bool(client.get("service")):
        return [required(path, "exactly one of url or service is required")]
    if not client.get("url"):
        return []
    url = urlsplit(client["url"])
    if url.scheme != "https":
        detail = "'https' is the only allowed URL scheme; desired format: https://host[/path]"
        return [invalid(f"{path}.url", url.scheme, detail)]
    refused = {
        "user information is not permitted in the URL": url.username,
        "fragments are not permitted in the URL": url.fragment,
        "query parameters are not permitted in the URL": url.query,
    }
    return [invalid(f"{path}.url", value, detail) for detail, value in refused.items() if value]


def _condition_errors(conditions: list[JsonObject], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    names: list[str] = []
    for index, condition in enumerate(conditions):
        place = f"{path}[{index}]"
        expression, name = condition.get("expression", "").strip(), condition.get("name", "")
        if not expression:
            errors.append(required(f"{place}.expression"))
        else:
            try:
                cel.compile(expression)
            except (ValueError, RuntimeError) as error:
                detail = f"compilation failed: {(str(error).splitlines() or [''])[0]}"
                errors.append(invalid(f"{place}.expression", expression, detail))
        if not name:
            errors.append(required(f"{place}.name"))
        elif name in names:
            errors.append(duplicate(f"{place}.name", name))
        elif fault := qualified_name_fault(name):
            errors.append(invalid(f"{place}.name", name, fault))
        names.append(name)
    return errors
