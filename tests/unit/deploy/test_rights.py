"""Each service may do what its code does, its informers' kinds and its calls of the API, and nothing else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cachecore.resources import core, serving
from cachecore.resources.meta import Resource
from cachewebhook import self_signing

Manifest = dict[str, Any]
VERBS = ("get", "list", "watch", "patch", "delete")
KINDS = {
    name: kind
    for module in (core, serving, self_signing)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, Resource) and kind is not Resource
}
Need = tuple[str, str, str]
"""(verb, API group, resource)."""

# What is used where the kind is no word of the call.
CACHES = ("localmodelcaches", "localmodelnamespacecaches")
OF_EVENTS = {("create", "", "events"), ("patch", "", "events")}
"""cachecore.events: a new one, and one that has come again."""
UNSEEN: dict[str, set[Need]] = {
    "manager": {
        # observers.py: a function makes the informers.
        *((verb, serving.GROUP, kind) for kind in CACHES for verb in ("list", "watch")),
        *((verb, serving.GROUP, "localmodelnodegroups") for verb in ("list", "watch")),
        *((verb, serving.GROUP, "localmodelnodes") for verb in ("list", "watch")),
        *((verb, serving.GROUP, "inferenceservices") for verb in ("list", "watch")),
        *((verb, serving.GROUP, "llminferenceservices") for verb in ("list", "watch")),
        *((verb, "", kind) for kind in ("nodes", "pods") for verb in ("list", "watch")),
        *((verb, "", "persistentvolumes") for verb in ("list", "watch")),
        *((verb, "", "persistentvolumeclaims") for verb in ("list", "watch")),
        # cache_reconciler.py, _set_finalizers and _show; group_reconciler.py.
        *(("patch", serving.GROUP, kind) for kind in CACHES),
        *(("update", serving.GROUP, f"{kind}/status") for kind in (*CACHES, "localmodelnodegroups")),
        # cachecore.resources.meta, owner_reference: it blocks the owner's deletion, which may take this right.
        *(("update", serving.GROUP, f"{kind}/finalizers") for kind in CACHES),
        ("update", "", "nodes/finalizers"),
        # node_reconciler.py, _write; volume_writer.py, _apply.
        ("create", serving.GROUP, "localmodelnodes"),
        ("create", "", "persistentvolumes"),
        ("create", "", "persistentvolumeclaims"),
        # cachecore.controller.lease.
        *((verb, "coordination.k8s.io", "leases") for verb in ("get", "watch", "create", "update")),
        *OF_EVENTS,
    },
    "agent": {
        # reporter.py, write.
        ("update", serving.GROUP, "localmodelnodes/status"),
        *OF_EVENTS,
    },
    "webhook": {
        # self_signing.py, _certificates and _trust.
        ("create", "", "secrets"),
        *(
            (verb, "admissionregistration.k8s.io", f"{kind}webhookconfigurations")
            for kind in ("mutating", "validating")
            for verb in ("get", "patch")
        ),
    },
}


def needs_of(kind: str, *verbs: str) -> Iterator[Need]:
    resource_type = KINDS[kind].resource_type
    for verb in verbs:
        yield verb, resource_type.group, resource_type.plural


def needs(folder: Path) -> set[Need]:
    """What the modules below ask of the API server, as far as the kind stands in the call."""
    found: set[Need] = set()
    for path in sorted(folder.rglob("*.py")):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            names = [argument.id for argument in call.args if isinstance(argument, ast.Name)]
            kinds = [name for name in names if name in KINDS]
            if not kinds:
                continue
            if isinstance(call.func, ast.Name) and call.func.id == "Informer":
                found.update(needs_of(kinds[0], "list", "watch"))
            elif isinstance(call.func, ast.Attribute) and call.func.attr in VERBS and is_client(call.func.value):
                found.update(needs_of(kinds[0], call.func.attr))
    return found


def is_client(owner: ast.expr) -> bool:
    name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
    return name.endswith("client")


def rights(manifests: list[Manifest], service: str) -> set[Need]:
    """What the roles that are bound to the service's account grant, in whatever namespace and for whatever names."""
    account = f"localmodel-{service}"
    roles = {
        manifest["roleRef"]["name"]
        for manifest in manifests
        if manifest["kind"] in ("RoleBinding", "ClusterRoleBinding")
        and account in [subject["name"] for subject in manifest["subjects"]]
    }
    return {
        (verb, group, resource)
        for manifest in manifests
        if manifest["kind"] in ("Role", "ClusterRole") and manifest["metadata"]["name"] in roles
        for rule in manifest["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


@pytest.mark.parametrize("service", ["manager", "agent", "webhook"])
def test_the_code_does_nothing_that_the_roles_forbid(repository: Path, manifests: list[Manifest], service: str) -> None:
    wanted = needs(repository / "services" / service / "src")
    assert wanted - rights(manifests, service) == set()


@pytest.mark.parametrize("service", ["manager", "agent", "webhook"])
def test_the_roles_give_nothing_that_the_code_does_not_do(
    repository: Path, manifests: list[Manifest], service: str
) -> None:
    wanted = needs(repository / "services" / service / "src") | UNSEEN[service]
    assert rights(manifests, service) ^ wanted == set()


def test_what_the_webhook_asks_is_found(repository: Path) -> None:
    """Or the test above would prove nothing."""
    found = needs(repository / "services" / "webhook" / "src")
    assert {("watch", "", "nodes"), ("list", serving.GROUP, "localmodelcaches"), ("get", "", "secrets")} <= found


@pytest.mark.parametrize("service", ["manager", "agent", "webhook"])
def test_no_role_has_a_wildcard(manifests: list[Manifest], service: str) -> None:
    assert not any("*" in right for right in rights(manifests, service))


def test_no_agent_may_read_every_secret(manifests: list[Manifest]) -> None:
    cluster_wide = {manifest["roleRef"]["name"] for manifest in manifests if manifest["kind"] == "ClusterRoleBinding"}
    for manifest in manifests:
        if manifest["kind"] == "ClusterRole" and manifest["metadata"]["name"] in cluster_wide:
            for rule in manifest["rules"]:
                assert "secrets" not in rule["resources"] or rule.get("resourceNames")
