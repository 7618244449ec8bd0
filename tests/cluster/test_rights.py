"""Least privilege: what the parts were granted and what they asked for, by the API server's audit log."""

from __future__ import annotations

import json
from typing import Any

import pytest

from realcluster.audit import ACCOUNTS, PREFIX, Right, requests, used
from realcluster.deployment import SYSTEM, Deployment
from realcluster.network import CommandFailed
from realcluster.occasions import Occasions

# What everybody who is known may ask for, Kubernetes' own documents, takes half of it.
SCREEN_LINES = 50
# Nobody asks for these: an admission plugin, which the API server has here, looks whether they are there when something
# with an owner is created (deploy/base/manager/rbac.yaml). Without them the story would not come to its end.
LOOKED_UP: dict[str, set[Right]] = {
    "localmodel-agent": set(),
    "localmodel-manager": {
        ("update", "localmodelcaches/finalizers"),
        ("update", "localmodelnamespacecaches/finalizers"),
        ("update", "nodes/finalizers"),
    },
    "localmodel-webhook": set(),
}


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


def test_each_right_that_was_granted_is_used(occasions: Occasions, ended: Deployment) -> None:
    so_far = used(ended)
    unused = {account: granted(ended, account) - so_far[account] - LOOKED_UP[account] for account in ACCOUNTS}
    assert unused == {account: set() for account in ACCOUNTS}


def test_an_owner_s_right_is_needed_where_the_plugin_runs(deployed: Deployment, occasions: Occasions) -> None:
    """So the API server here would have refused what the parts made, had they no such right."""
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": SYSTEM, "uid": "0", "blockOwnerDeletion": True}
    owned = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned", "ownerReferences": [owner]}}
    as_somebody = ("--as=somebody", "--as-group=system:authenticated")
    rights = ("--verb=create", "--resource=configmaps")
    deployed.kubectl("-n", "default", "create", "role", "somebody", *rights)
    deployed.kubectl("-n", "default", "create", "rolebinding", "somebody", "--role=somebody", "--user=somebody")
    try:
        with pytest.raises(CommandFailed, match="cannot set blockOwnerDeletion"):
            deployed.kubectl("-n", "default", "create", "--filename=-", *as_somebody, given=json.dumps(owned))
    finally:
        deployed.kubectl("-n", "default", "delete", "role/somebody", "rolebinding/somebody")


def test_the_rights_of_each_part_fit_on_a_screen(deployed: Deployment) -> None:
    for account in ACCOUNTS:
        rights = deployed.kubectl("auth", "can-i", "--list", f"--as={PREFIX}{account}", f"--namespace={SYSTEM}")
        assert len(rights.splitlines()) <= SCREEN_LINES
        assert "[*]" not in rights
