"""What is left out is a 501 that names it; docs/api-server.md says the same to people."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cachesim.apiserver import ApiServer
from cachesim.apiserver.left_out import KINDS, PATHS, SUBRESOURCES
from cachesim.apiserver.testing_kinds import WIDGET_DEFINITION

Visitor = Callable[..., Any]
DOCUMENT = Path(__file__).parents[3] / "docs" / "api-server.md"


def asked(visit: Visitor, path: str, method: str = "GET", **options: Any) -> tuple[int, str, str]:
    async def test(_: ApiServer, session: aiohttp.ClientSession) -> tuple[int, str, str]:
        async with session.request(method, path, **options) as response:
            status = await response.json()
            return response.status, status.get("reason", ""), status.get("message", "")

    answer: tuple[int, str, str] = visit(test)
    return answer


def left_out(what: str) -> tuple[int, str, str]:
    return 501, "NotImplemented", f"the API server of the local cluster leaves out {what}"


@pytest.mark.parametrize("group, plural", [(group, plural) for group in KINDS for plural in sorted(KINDS[group])])
def test_a_kind_is(visit: Visitor, group: str, plural: str) -> None:
    root, name = (f"/apis/{group}/v1", f"{plural}.{group}") if group else ("/api/v1", plural)
    assert asked(visit, f"{root}/namespaces/default/{plural}") == left_out(name)


@pytest.mark.parametrize("key, name", [(key, name) for key in SUBRESOURCES for name in sorted(SUBRESOURCES[key])])
def test_a_subresource_is(visit: Visitor, key: tuple[str, str], name: str) -> None:
    group, plural = key
    root = f"/apis/{group}/v1" if group else "/api/v1"
    scope = "" if plural == "nodes" else "/namespaces/default"
    what = f"{plural}/{name}.{group}" if group else f"{plural}/{name}"
    assert asked(visit, f"{root}{scope}/{plural}/a/{name}") == left_out(what)


def test_what_a_proxy_would_lead_to_is(visit: Visitor) -> None:
    assert asked(visit, "/api/v1/nodes/n/proxy/metrics/cadvisor") == left_out("nodes/proxy")


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is(visit: Visitor, path: str) -> None:
    assert asked(visit, path) == left_out(path)


def test_impersonation_is(visit: Visitor) -> None:
    assert asked(visit, "/api/v1/pods", headers={"impersonate-user": "bob"}) == left_out("impersonation")


def test_a_watch_by_its_path_is(visit: Visitor) -> None:
    assert asked(visit, "/api/v1/watch/pods")[0] == 501


def with_two_versions(definition: dict[str, Any]) -> None:
    versions = definition["spec"]["versions"]
    versions.append({**versions[0], "name": "v2", "storage": False})


def with_conversion(definition: dict[str, Any]) -> None:
    definition["spec"]["conversion"] = {"strategy": "Webhook"}


def with_scale(definition: dict[str, Any]) -> None:
    definition["spec"]["versions"][0]["subresources"]["scale"] = {"specReplicasPath": ".spec.replicas"}


@pytest.mark.parametrize(
    "change, what",
    [
        (with_two_versions, "definitions that serve more than one version"),
        (with_conversion, "conversion webhooks"),
        (with_scale, "the scale subresource of custom resources"),
    ],
)
def test_a_definition_with_it_is_refused(visit: Visitor, change: Callable[[dict[str, Any]], None], what: str) -> None:
    definition = copy.deepcopy(WIDGET_DEFINITION)
    change(definition)
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert asked(visit, path, "POST", json=definition) == left_out(what)


def test_the_documentation_names_each() -> None:
    text = DOCUMENT.read_text()
    names = [plural for plurals in KINDS.values() for plural in plurals]
    names += [f"{plural}/{name}" for (_, plural), each in SUBRESOURCES.items() for name in each]
    assert [name for name in [*names, *PATHS] if f"`{name}`" not in text] == []
