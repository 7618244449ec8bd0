"""What the API server decides about a pod."""

from __future__ import annotations

import pytest

from cachesim.apiserver.builtin import POD
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import ContractApi, refused


async def pod(api: ContractApi, **resources: JsonObject) -> JsonObject:
    container = {"name": "main", "image": "busybox:1", "resources": resources}
    return await api.create(
        POD, {"metadata": {"name": "a"}, "spec": {"schedulerName": "none", "containers": [container]}}
    )


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ({}, "BestEffort"),
        ({"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "1"}}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
    ],
)
async def test_a_pod_has_the_quality_of_service_that_it_asks_for(
    api: ContractApi, resources: JsonObject, quality: str
) -> None:
    assert (await pod(api, **resources))["status"]["qosClass"] == quality


async def test_the_quality_of_service_never_changes(api: ContractApi) -> None:
    await pod(api)
    with refused(422, "Invalid") as errors:
        await api.merge(POD, "a", {"status": {"qosClass": "Guaranteed"}}, subresource="status")
    assert 'status.qosClass: Invalid value: "Guaranteed": field is immutable' in errors[0].message
