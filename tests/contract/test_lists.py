"""Lists: order, pages, revisions, selectors."""

from __future__ import annotations

from typing import Any

import pytest

from cachesim.apiserver.builtin import CONFIG_MAP, LEASE, POD
from cachesim.apiserver.testing import ContractApi, refused
from cachesim.apiserver.testing_kinds import WIDGET


async def config_maps(api: ContractApi, names: str, **labels: str) -> None:
    for name in names.split():
        await api.create(CONFIG_MAP, {"metadata": {"name": name, "labels": {"suite": "contract", **labels}}})


async def page(api: ContractApi, **query: Any) -> dict[str, Any]:
    return await api.verbs.list(CONFIG_MAP, namespace=api.namespace, label_selector="suite=contract", **query)


async def test_items_come_in_order_of_their_names(api: ContractApi) -> None:
    await config_maps(api, "c a b")
    assert await api.names(CONFIG_MAP, label_selector="suite=contract") == ["a", "b", "c"]


async def test_a_list_has_the_kind_and_a_revision(api: ContractApi) -> None:
    listed = await page(api)
    assert listed["kind"] == "ConfigMapList"
    assert listed["apiVersion"] == "v1"
    assert int(listed["metadata"]["resourceVersion"]) > 0


async def test_pages_follow_each_other(api: ContractApi) -> None:
    await config_maps(api, "a b c")
    first = await page(api, limit=2)
    second = await page(api, limit=2, continue_token=first["metadata"]["continue"])
    assert [item["metadata"]["name"] for item in first["items"] + second["items"]] == ["a", "b", "c"]
    assert not second["metadata"].get("continue")


async def test_a_page_says_how_many_are_left(api: ContractApi) -> None:
    for name in "abc":
        await api.create(WIDGET, {"metadata": {"name": name}, "spec": {"color": "red"}})
    listed = await api.verbs.list(WIDGET, namespace=api.namespace, limit=1)
    assert listed["metadata"]["remainingItemCount"] == 2


async def test_later_pages_are_of_the_firsts_moment(api: ContractApi) -> None:
    await config_maps(api, "a b c")
    first = await page(api, limit=1)
    await api.delete(CONFIG_MAP, "b")
    await config_maps(api, "d")
    second = await page(api, continue_token=first["metadata"]["continue"])
    assert [item["metadata"]["name"] for item in second["items"]] == ["b", "c"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_a_broken_token_is_a_bad_request(api: ContractApi) -> None:
    with refused(400, "BadRequest"):
        await page(api, limit=1, continue_token="not-a-token")


async def test_an_exact_revision_shows_the_past(api: ContractApi) -> None:
    await config_maps(api, "a")
    before = await page(api)
    await config_maps(api, "b")
    past = await page(
        api, resource_version=before["metadata"]["resourceVersion"], resource_version_match="Exact", limit=10
    )
    assert [item["metadata"]["name"] for item in past["items"]] == ["a"]


async def test_a_list_is_not_older_than_its_minimum(api: ContractApi) -> None:
    await config_maps(api, "a")
    last = await api.create(CONFIG_MAP, {"metadata": {"name": "b", "labels": {"suite": "contract"}}})
    # The real server answers from its cache, once that has come so far.
    minimum = last["metadata"]["resourceVersion"]
    listed = await page(api, resource_version=minimum, resource_version_match="NotOlderThan")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a", "b"]
    assert int(listed["metadata"]["resourceVersion"]) >= int(minimum)


async def test_a_first_page_of_a_revision_is_exactly_of_that(api: ContractApi) -> None:
    await config_maps(api, "a")
    before = await page(api)
    await config_maps(api, "b")
    past = await page(api, resource_version=before["metadata"]["resourceVersion"], limit=10)
    assert [item["metadata"]["name"] for item in past["items"]] == ["a"]


async def test_the_past_is_listed_page_by_page(api: ContractApi) -> None:
    await config_maps(api, "a b")
    before = (await page(api))["metadata"]["resourceVersion"]
    await api.delete(CONFIG_MAP, "b")
    first = await page(api, resource_version=before, resource_version_match="Exact", limit=1)
    second = await page(api, continue_token=first["metadata"]["continue"])
    assert [item["metadata"]["name"] for item in second["items"]] == ["b"]
    assert second["metadata"]["resourceVersion"] == before


async def test_a_selected_page_does_not_say_how_many_are_left(api: ContractApi) -> None:
    await config_maps(api, "a b")
    first = await page(api, limit=1)
    assert first["metadata"]["continue"]
    assert "remainingItemCount" not in first["metadata"]


async def test_a_page_is_filled_with_what_is_selected(api: ContractApi) -> None:
    await config_maps(api, "a c", app="x")
    await config_maps(api, "b d", app="y")
    listed = await api.verbs.list(CONFIG_MAP, namespace=api.namespace, label_selector="app=y", limit=2)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["b", "d"]


@pytest.mark.parametrize(
    "query, detail",
    [
        ({"resource_version_match": "Exact"}, "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        (
            {"resource_version_match": "Exact", "resource_version": "0"},
            'resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
        (
            {"resource_version_match": "Exact", "resource_version": "1", "continue_token": "x"},
            "resourceVersionMatch is forbidden when continue is provided",
        ),
        (
            {"resource_version_match": "Latest", "resource_version": "1"},
            'Unsupported value: "Latest": supported values: "Exact", "NotOlderThan", ""',
        ),
    ],
)
async def test_options_that_contradict_each_other_are_refused(
    api: ContractApi, query: dict[str, str], detail: str
) -> None:
    with refused(422, "Invalid") as errors:
        await page(api, **query)
    assert errors[0].message.startswith('ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: ')
    assert detail in errors[0].message


async def test_a_token_knows_its_revision(api: ContractApi) -> None:
    await config_maps(api, "a b")
    first = await page(api, limit=1)
    with refused(400, "BadRequest") as errors:
        await page(api, continue_token=first["metadata"]["continue"], resource_version="1")
    assert errors[0].message == "specifying resource version is not allowed when using continue"


async def test_a_revision_that_is_no_number_is_a_bad_request(api: ContractApi) -> None:
    with refused(400, "BadRequest") as errors:
        await page(api, resource_version="soon")
    assert 'resourceVersion: Invalid value: "soon"' in errors[0].message


@pytest.mark.parametrize(
    "selector, found",
    [
        ("app=x", ["a"]),
        ("app==x", ["a"]),
        ("app!=x", ["b", "c"]),
        ("app in (x, y)", ["a", "b"]),
        ("app notin (x)", ["b", "c"]),
        ("app", ["a", "b"]),
        ("!app", ["c"]),
        ("app=x,tier=front", ["a"]),
        ("rank>1", ["b"]),
        ("rank<2", ["a"]),
    ],
)
async def test_label_selectors(api: ContractApi, selector: str, found: list[str]) -> None:
    await config_maps(api, "a", app="x", tier="front", rank="1")
    await config_maps(api, "b", app="y", rank="2")
    await config_maps(api, "c")
    assert await api.names(CONFIG_MAP, label_selector=f"suite=contract,{selector}") == found


async def test_a_malformed_label_selector_is_a_bad_request(api: ContractApi) -> None:
    with refused(400, "BadRequest") as errors:
        await api.names(CONFIG_MAP, label_selector="a b")
    assert "unable to parse requirement" in errors[0].message


async def test_objects_are_selected_by_name(api: ContractApi) -> None:
    await config_maps(api, "a b")
    assert await api.names(CONFIG_MAP, field_selector="metadata.name=b") == ["b"]


async def test_pods_are_selected_by_node_and_phase(api: ContractApi) -> None:
    containers = [{"name": "main", "image": "busybox:1"}]
    node = api.unique("node")
    await api.create(POD, {"metadata": {"name": "a"}, "spec": {"nodeName": node, "containers": containers}})
    unbound = {"schedulerName": "none", "containers": containers}
    await api.create(POD, {"metadata": {"name": "b"}, "spec": unbound})
    assert await api.names(POD, field_selector=f"spec.nodeName={node}") == ["a"]
    assert await api.names(POD, field_selector="spec.nodeName=") == ["b"]
    assert await api.names(POD, field_selector=f"status.phase=Pending,spec.nodeName!={node}") == ["b"]


async def test_a_custom_resource_has_few_selectable_fields(api: ContractApi) -> None:
    with refused(400, "BadRequest") as errors:
        await api.names(WIDGET, field_selector="spec.color=red")
    assert "field label not supported: spec.color" in errors[0].message


async def test_most_built_in_kinds_have_few_selectable_fields(api: ContractApi) -> None:
    with refused(400, "BadRequest") as errors:
        await api.names(LEASE, field_selector="spec.holderIdentity=me")
    assert '"spec.holderIdentity" is not a known field selector: only "metadata.name", "metadata.namespace"' in (
        errors[0].message
    )


async def test_a_revision_of_the_future_is_not_there_yet(api: ContractApi) -> None:
    with refused(504, "Timeout") as errors:
        await page(api, resource_version="999999999999")
    assert "Too large resource version" in errors[0].message
