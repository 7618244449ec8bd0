"""The front as a client sees it, over a real connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from cachecore.errors import ApiError
from cachesim.apiserver import ApiServer
from cachesim.apiserver.builtin import CONFIG_MAP, POD
from cachesim.apiserver.errors import bad_request
from cachesim.apiserver.http.content import decode_json

Visitor = Callable[..., Any]

TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
AGGREGATED = {"accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}


def config_map(name: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": "default"}}


async def read(session: aiohttp.ClientSession, path: str, **options: Any) -> tuple[int, Any]:
    async with session.get(path, **options) as response:
        return response.status, await response.json(content_type=None)


def fetch(visit: Visitor, path: str, *, token: str = "good", **options: Any) -> tuple[int, Any]:
    async def test(_: ApiServer, session: aiohttp.ClientSession) -> tuple[int, Any]:
        return await read(session, path, **options)

    answer: tuple[int, Any] = visit(test, token=token)
    return answer


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/version"])
def test_whoever_asks_learns_whether_it_lives(visit: Visitor, path: str) -> None:
    async def test(_: ApiServer, session: aiohttp.ClientSession) -> int:
        async with session.get(path) as response:
            return response.status

    assert visit(test, token="bad") == 200


@pytest.mark.parametrize("path", ["/api", "/apis", "/openapi/v3", "/api/v1/pods"])
def test_a_token_that_is_not_known_is_a_401(visit: Visitor, path: str) -> None:
    code, status = fetch(visit, path, token="bad")
    assert (code, status["kind"], status["reason"]) == (401, "Status", "Unauthorized")


def test_aggregated_discovery_names_kinds_and_subresources(visit: Visitor) -> None:
    _, found = fetch(visit, "/apis", headers=AGGREGATED)
    group = next(item for item in found["items"] if item["metadata"]["name"] == "serving.kserve.io")
    resource = next(one for one in group["versions"][0]["resources"] if one["resource"] == "localmodelcaches")
    assert found["kind"] == "APIGroupDiscoveryList"
    assert resource["shortNames"] == ["lmc"]
    assert [one["subresource"] for one in resource["subresources"]] == ["status"]


def test_legacy_discovery_names_groups_and_resources(visit: Visitor) -> None:
    _, groups = fetch(visit, "/apis")
    _, resources = fetch(visit, "/apis/serving.kserve.io/v1alpha1")
    assert "serving.kserve.io" in [group["name"] for group in groups["groups"]]
    assert "localmodelcaches/status" in [resource["name"] for resource in resources["resources"]]


@pytest.mark.parametrize("path", ["/apis/none", "/apis/none/v1", "/api/v1/nothing", "/openapi/v3/none"])
def test_what_is_not_there_is_a_404_with_a_status(visit: Visitor, path: str) -> None:
    code, status = fetch(visit, path)
    assert (code, status["kind"], status["reason"]) == (404, "Status", "NotFound")


@pytest.mark.parametrize("path", ["/nothing", "/apis/none/v1/nothing", "/apis/serving.kserve.io/v1/nothing"])
def test_where_nobody_listens_is_a_404_in_plain_text(visit: Visitor, path: str) -> None:
    async def test(_: ApiServer, session: aiohttp.ClientSession) -> tuple[int, str]:
        async with session.get(path) as response:
            return response.status, await response.text()

    assert visit(test) == (404, "404 page not found\n")


def test_the_patch_of_a_kind_tells_that_fields_are_validated(visit: Visitor) -> None:
    _, document = fetch(visit, "/openapi/v3/apis/serving.kserve.io/v1alpha1")
    patch = document["paths"]["/apis/serving.kserve.io/v1alpha1/localmodelcaches/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"]["kind"] == "LocalModelCache"
    assert {"dryRun", "fieldManager", "fieldValidation"} <= {one["name"] for one in patch["parameters"]}


def test_a_kinds_schema_has_its_descriptions(visit: Visitor) -> None:
    _, document = fetch(visit, "/openapi/v3/apis/serving.kserve.io/v1alpha1")
    schema = document["components"]["schemas"]["io.kserve.serving.v1alpha1.LocalModelCache"]
    assert schema["x-kubernetes-group-version-kind"][0]["kind"] == "LocalModelCache"
    assert schema["properties"]["spec"]["properties"]["sourceModelUri"]["description"]


def test_a_list_as_a_table_has_columns(visit: Visitor) -> None:
    _, table = fetch(visit, "/apis/serving.kserve.io/v1alpha1/localmodelcaches", headers=TABLE)
    assert table["kind"] == "Table"
    assert table["columnDefinitions"][0]["name"] == "Name"


def test_a_watch_sends_tables_with_columns_once(visit: Visitor) -> None:
    async def test(server: ApiServer, session: aiohttp.ClientSession) -> list[Any]:
        for name in ("a", "b"):
            await server.create(CONFIG_MAP, config_map(name), namespace="default")
        query = {"watch": "1", "timeoutSeconds": "30"}
        async with session.get("/api/v1/namespaces/default/configmaps", params=query, headers=TABLE) as response:
            return [decode_json(await response.content.readline()) for _ in range(2)]

    first, second = visit(test)
    assert [first["object"]["rows"][0]["cells"][0], second["object"]["rows"][0]["cells"][0]] == ["a", "b"]
    assert first["object"]["columnDefinitions"]
    assert second["object"]["columnDefinitions"] is None


def test_a_watch_that_the_client_leaves_is_forgotten(visit: Visitor) -> None:
    async def test(server: ApiServer, session: aiohttp.ClientSession) -> int:
        async with session.get("/api/v1/pods", params={"watch": "1"}):
            assert len(server.hub) == 1
        while len(server.hub):
            await server.runtime.sleep(0.001)
        return len(server.hub)

    assert visit(test) == 0


def test_a_watch_from_the_forgotten_past_ends_in_an_error_event(visit: Visitor) -> None:
    async def test(server: ApiServer, session: aiohttp.ClientSession) -> Any:
        await server.create(CONFIG_MAP, config_map("a"), namespace="default")
        server.compact()
        query = {"watch": "1", "resourceVersion": "1"}
        async with session.get("/api/v1/configmaps", params=query) as response:
            return response.status, decode_json(await response.content.readline())

    status, event = visit(test)
    assert (status, event["type"], event["object"]["code"]) == (200, "ERROR", 410)


def test_an_object_is_made_from_yaml_and_answered_with_201(visit: Visitor) -> None:
    async def test(_: ApiServer, session: aiohttp.ClientSession) -> Any:
        body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '1'}"
        headers = {"content-type": "application/yaml"}
        async with session.post("/api/v1/namespaces/default/configmaps", data=body, headers=headers) as response:
            return response.status, (await response.json())["data"]

    assert visit(test) == (201, {"x": "1"})


def test_a_dry_run_stores_nothing(visit: Visitor) -> None:
    async def test(_: ApiServer, session: aiohttp.ClientSession) -> Any:
        path = "/api/v1/namespaces/default/configmaps"
        async with session.post(path, params={"dryRun": "All"}, json=config_map("a")) as response:
            made = response.status
        return made, (await read(session, f"{path}/a"))[0]

    assert visit(test) == (201, 404)


def test_a_warning_comes_as_a_header(visit: Visitor) -> None:
    async def test(_: ApiServer, session: aiohttp.ClientSession) -> Any:
        body = {
            "apiVersion": "serving.kserve.io/v1alpha1",
            "kind": "LocalModelNode",
            "metadata": {"name": "node-1"},
            "spec": {"colour": "red"},
        }
        async with session.post("/apis/serving.kserve.io/v1alpha1/localmodelnodes", json=body) as response:
            return response.headers.get("warning")

    assert visit(test) == '299 - "unknown field \\"spec.colour\\""'


def test_a_built_in_kind_may_leave_its_type_out(visit: Visitor) -> None:
    async def test(_: ApiServer, session: aiohttp.ClientSession) -> Any:
        async with session.post("/api/v1/namespaces", json={"metadata": {"name": "a"}}) as response:
            return response.status, (await response.json())["kind"]

    assert visit(test) == (201, "Namespace")


def test_a_method_that_a_path_does_not_take_is_a_405(visit: Visitor) -> None:
    async def test(_: ApiServer, session: aiohttp.ClientSession) -> int:
        async with session.put("/api/v1/namespaces/default/configmaps", json=config_map("a")) as response:
            return response.status

    assert visit(test) == 405


def test_a_self_subject_review_tells_who_asks(visit: Visitor) -> None:
    async def test(_: ApiServer, session: aiohttp.ClientSession) -> Any:
        async with session.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json={}) as response:
            return (await response.json())["status"]["userInfo"]["username"]

    assert visit(test) == "ada"


def test_everybody_may_do_everything(visit: Visitor) -> None:
    async def test(_: ApiServer, session: aiohttp.ClientSession) -> Any:
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        async with session.post(path, json={"spec": {"resourceAttributes": {"verb": "get"}}}) as response:
            return response.status, (await response.json())["status"]["allowed"]

    assert visit(test) == (201, True)


class Logs:
    """Says what it was asked for; knows no container `mute`."""

    async def read(
        self, pod: dict[str, Any], container: str, *, follow: bool, tail_lines: int | None, previous: bool
    ) -> AsyncIterator[bytes]:
        if container == "mute":
            raise bad_request("mute has no log")
        yield f"{pod['metadata']['name']}/{container} {tail_lines} ".encode()
        yield f"{follow} {previous}".encode()


@pytest.mark.parametrize(
    "query,code,found",
    [
        ("?container=main&tailLines=3", 200, "reader/main 3 False False"),
        ("?container=main&follow=true&previous=true", 200, "reader/main None True True"),
        ("?container=mute", 400, "mute has no log"),
        ("?container=other", 400, "container other is not valid for pod reader"),
        ("", 400, "a container name must be specified"),
    ],
)
def test_logs_come_from_where_the_nodes_keep_them(visit: Visitor, query: str, code: int, found: str) -> None:
    async def test(server: ApiServer, session: aiohttp.ClientSession) -> tuple[int, str]:
        spec = {"containers": [{"name": "main", "image": "x"}, {"name": "mute", "image": "x"}]}
        body = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "reader"}, "spec": spec}
        await server.create(POD, body, namespace="default")
        async with session.get(f"/api/v1/namespaces/default/pods/reader/log{query}") as response:
            return response.status, await response.text()

    status, text = visit(test, pod_logs=Logs())
    assert status == code
    assert found in text


def test_a_pods_binding_binds_it(visit: Visitor) -> None:
    async def test(server: ApiServer, session: aiohttp.ClientSession) -> Any:
        body = {"metadata": {"name": "reader"}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
        await server.create(POD, {"kind": "Pod", "apiVersion": "v1", **body}, namespace="default")
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "reader"}, "target": {"name": "node-1"}}
        async with session.post("/api/v1/namespaces/default/pods/reader/binding", json=binding) as response:
            assert response.status == 201
        return (await server.get(POD, "reader", "default"))["spec"]["nodeName"]

    assert visit(test) == "node-1"


def test_what_nobody_meant_is_a_500_with_a_status(visit: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(ApiServer, "list", broken)
    code, status = fetch(visit, "/api/v1/pods")
    assert (code, status["reason"]) == (500, ApiError.default_reason)
