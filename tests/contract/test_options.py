"""What may be asked beside the object itself."""

from __future__ import annotations

import pytest

from cachesim.apiserver.builtin import CONFIG_MAP
from cachesim.apiserver.testing import ContractApi, causes, refused

BODY = {"metadata": {"name": "a"}}


async def test_a_managers_name_has_a_limit(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await api.create(CONFIG_MAP, BODY, field_manager="m" * 129)
    assert causes(errors[0]) == [("fieldManager", "FieldValueTooLong")]
    assert errors[0].message.startswith('CreateOptions.meta.k8s.io "" is invalid: fieldManager: Too long')


async def test_a_managers_name_can_be_printed(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await api.create(CONFIG_MAP, BODY, field_manager="a\tb")
    assert causes(errors[0]) == [("fieldManager", "FieldValueInvalid")]


async def test_fields_are_validated_in_three_ways(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await api.create(CONFIG_MAP, BODY, field_validation="Loose")
    assert causes(errors[0]) == [("fieldValidation", "FieldValueNotSupported")]


async def test_an_update_names_its_own_options(api: ContractApi) -> None:
    created = await api.create(CONFIG_MAP, BODY)
    with refused(422, "Invalid") as errors:
        await api.update(CONFIG_MAP, created, field_manager="m" * 129)
    assert errors[0].message.startswith("UpdateOptions.meta.k8s.io")
    with refused(422, "Invalid") as errors:
        await api.merge(CONFIG_MAP, "a", {}, field_manager="m" * 129)
    assert errors[0].message.startswith("PatchOptions.meta.k8s.io")


async def test_dependents_go_in_three_ways(api: ContractApi) -> None:
    await api.create(CONFIG_MAP, BODY)
    with refused(422, "Invalid") as errors:
        await api.delete(CONFIG_MAP, "a", propagation_policy="Sideways")
    assert causes(errors[0]) == [("propagationPolicy", "FieldValueNotSupported")]
    assert await api.exists(CONFIG_MAP, "a")


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
async def test_without_dependents_every_way_ends_the_same(api: ContractApi, policy: str) -> None:
    await api.create(CONFIG_MAP, BODY)
    await api.delete(CONFIG_MAP, "a", propagation_policy=policy)
    await api.gone(CONFIG_MAP, "a")
