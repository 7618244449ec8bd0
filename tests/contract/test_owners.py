"""Owner references: what goes with its owner, what stays, and in which order."""

from __future__ import annotations

from cachesim.apiserver.builtin import CONFIG_MAP, SECRET
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import ContractApi, refused
from cachesim.apiserver.testing_kinds import WIDGET


async def owner(api: ContractApi, name: str = "owner") -> JsonObject:
    return await api.create(WIDGET, {"metadata": {"name": name}, "spec": {"color": "red"}})


def reference(item: JsonObject, **more: object) -> JsonObject:
    metadata = item["metadata"]
    return {
        "apiVersion": item["apiVersion"],
        "kind": item["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        **more,
    }


async def dependent(api: ContractApi, *references: JsonObject, **metadata: object) -> JsonObject:
    body = {"metadata": {"name": "dependent", "ownerReferences": list(references), **metadata}}
    return await api.create(CONFIG_MAP, body)


async def test_a_dependent_goes_after_its_owner(api: ContractApi) -> None:
    await dependent(api, reference(await owner(api)))
    await api.delete(WIDGET, "owner", propagation_policy="Background")
    assert not await api.exists(WIDGET, "owner")
    await api.gone(CONFIG_MAP, "dependent")


async def test_a_dependents_dependent_goes_too(api: ContractApi) -> None:
    first = await dependent(api, reference(await owner(api)))
    reference_to_first = reference({**first, "apiVersion": "v1", "kind": "ConfigMap"})
    await api.create(SECRET, {"metadata": {"name": "last", "ownerReferences": [reference_to_first]}})
    await api.delete(WIDGET, "owner")
    await api.gone(SECRET, "last")


async def test_foreground_deletion_takes_dependents_first(api: ContractApi) -> None:
    hold = "contract.localmodel.test/hold"
    await dependent(api, reference(await owner(api), blockOwnerDeletion=True), finalizers=[hold])
    going = await api.delete(WIDGET, "owner", propagation_policy="Foreground")
    assert going["metadata"]["finalizers"] == ["foregroundDeletion"]

    async def dependent_is_going() -> bool:
        return bool((await api.get(CONFIG_MAP, "dependent"))["metadata"].get("deletionTimestamp"))

    await api.eventually(dependent_is_going)
    assert await api.exists(WIDGET, "owner")
    await api.merge(CONFIG_MAP, "dependent", {"metadata": {"finalizers": None}})
    await api.gone(WIDGET, "owner")


async def test_orphans_stay_and_forget_their_owner(api: ContractApi) -> None:
    await dependent(api, reference(await owner(api)))
    await api.delete(WIDGET, "owner", propagation_policy="Orphan")
    await api.gone(WIDGET, "owner")
    assert "ownerReferences" not in (await api.get(CONFIG_MAP, "dependent"))["metadata"]


async def test_one_living_owner_is_enough(api: ContractApi) -> None:
    first, second = await owner(api), await owner(api, "other")
    await dependent(api, reference(first), reference(second))
    await api.delete(WIDGET, "owner")

    async def forgotten() -> bool:
        references = (await api.get(CONFIG_MAP, "dependent"))["metadata"]["ownerReferences"]
        return [each["name"] for each in references] == ["other"]

    await api.eventually(forgotten)


async def test_a_dependent_of_nobody_goes(api: ContractApi) -> None:
    missing = reference(await owner(api))
    await dependent(api, {**missing, "uid": "6b7c3d2e-0000-4000-8000-000000000000"})
    await api.gone(CONFIG_MAP, "dependent")


async def test_an_owner_that_comes_back_under_its_name_is_another(api: ContractApi) -> None:
    await dependent(api, reference(await owner(api)))
    await api.delete(WIDGET, "owner")
    await owner(api)
    await api.gone(CONFIG_MAP, "dependent")


async def test_there_is_one_controller(api: ContractApi) -> None:
    first, second = await owner(api), await owner(api, "other")
    with refused(422, "Invalid") as errors:
        await dependent(api, reference(first, controller=True), reference(second, controller=True))
    assert "Only one reference can have Controller set to true" in errors[0].message
