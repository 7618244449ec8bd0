"""Least privilege: what the parts were granted and what they asked for, by the API server's audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeAlias

from realcluster.deployment import SYSTEM, Deployment

PREFIX = f"system:serviceaccount:{SYSTEM}:"
# What everybody who is known may ask for, Kubernetes' own documents, takes half of it.
SCREEN_LINES = 50
Right: TypeAlias = tuple[str, str]
ACCOUNTS = ("localmodel-agent", "localmodel-manager", "localmodel-webhook")


# A watch is answered when it begins; it may be on for as long as its part lives.
STAGES = ("ResponseStarted", "ResponseComplete")
# What this story has no occasion for, and what has.
UNUSED: dict[str, dict[Right, str]] = {
    "localmodel-agent": {
        ("get", "configmaps"): "a CA bundle for an object store",
        ("get", "serviceaccounts"): "a cache with a serviceAccountName",
        ("get", "localmodelnodes"): "a status whose version is old",
        ("patch", "events"): "an event that repeats",
    },
    "localmodel-manager": {
        ("delete", "localmodelnodes"): "a node that takes no models any more",
        ("get", "localmodelnodes"): "one that has been made meanwhile",
        ("get", "persistentvolumes"): "a name that is taken",
        ("get", "persistentvolumeclaims"): "a name that is taken",
        ("patch", "events"): "an event that repeats",
        ("patch", "localmodelnamespacecaches"): "a LocalModelNamespaceCache",
        ("update", "localmodelnamespacecaches/status"): "a LocalModelNamespaceCache",
        ("update", "localmodelcaches/finalizers"): "the plugin OwnerReferencesPermissionEnforcement",
        ("update", "localmodelnamespacecaches/finalizers"): "the plugin OwnerReferencesPermissionEnforcement",
        ("update", "nodes/finalizers"): "the plugin OwnerReferencesPermissionEnforcement",
    },
    "localmodel-webhook": {("patch", "secrets"): "a certificate that gets old"},
}


def requests(deployed: Deployment) -> Iterator[dict[str, Any]]:
    """Those that our parts have made so far."""
    for line in deployed.cluster.plane.files.audit_log.read_text().splitlines():
        event = json.loads(line)
        if event["user"]["username"].startswith(PREFIX) and event["stage"] in STAGES:
            yield event


def test_nothing_that_a_part_asked_for_was_forbidden(ended: Deployment) -> None:
    asked = dict.fromkeys(ACCOUNTS, 0)
    refused = []
    for event in requests(ended):
        asked[event["user"]["username"].removeprefix(PREFIX)] += 1
        if event["responseStatus"]["code"] == 403:
            refused.append((event["user"]["username"], event["verb"], event["requestURI"]))
    assert refused == []
    assert all(asked.values())


def granted(deployed: Deployment, account: str) -> set[Right]:
    """All that the account's roles allow, in whatever namespace."""
    of_it = {"kind": "ServiceAccount", "name": account, "namespace": SYSTEM}
    rights = set()
    for bindings in ("clusterrolebindings", "rolebindings"):
        for binding in listed(deployed, bindings):
            if of_it not in binding.get("subjects", ()):
                continue
            role = binding["roleRef"]
            scope = ["--namespace", binding["metadata"]["namespace"]] if role["kind"] == "Role" else []
            found = json.loads(deployed.kubectl("get", role["kind"], role["name"], *scope, "--output=json"))
            for rule in found["rules"]:
                rights |= {(verb, kind) for verb in rule["verbs"] for kind in rule["resources"]}
    return rights


def listed(deployed: Deployment, kind: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(deployed.kubectl("get", kind, "--all-namespaces", "--output=json"))[
        "items"
    ]
    return items


def test_each_right_that_was_granted_is_used(ended: Deployment) -> None:
    used: dict[str, set[Right]] = {account: set() for account in ACCOUNTS}
    for event in requests(ended):
        reference = event.get("objectRef") or {}
        kind = "/".join(filter(None, (reference.get("resource", ""), reference.get("subresource", ""))))
        used[event["user"]["username"].removeprefix(PREFIX)].add((event["verb"], kind))
    unused = {account: granted(ended, account) - used[account] - UNUSED[account].keys() for account in ACCOUNTS}
    assert unused == {account: set() for account in ACCOUNTS}


def test_the_rights_of_each_part_fit_on_a_screen(deployed: Deployment) -> None:
    for account in ACCOUNTS:
        rights = deployed.kubectl("auth", "can-i", "--list", f"--as={PREFIX}{account}", f"--namespace={SYSTEM}")
        assert len(rights.splitlines()) <= SCREEN_LINES
        assert "[*]" not in rights
