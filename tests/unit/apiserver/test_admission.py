"""What of admission needs virtual time; the rest is in the contract suite."""

from __future__ import annotations

from cachesim.apiserver.testing import ContractApi, refused
from cachesim.apiserver.testing_cluster import Cluster
from cachesim.apiserver.testing_kinds import WIDGET
from cachesim.apiserver.testing_webhooks import allow


async def widget(api: ContractApi) -> None:
    await api.create(WIDGET, {"metadata": {"name": "a"}, "spec": {"color": "red"}})


def test_a_slow_webhook_is_given_up_in_time(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        api.webhooks.add("slow", lambda _: allow(), delay_seconds=10)
        await api.webhooks.configure("a", "slow", timeoutSeconds=2)
        with refused(500, "InternalError"):
            await widget(api)
        assert cluster.runtime.monotonic() == 2.0

    cluster.run(test)


def test_validating_webhooks_are_asked_at_once(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        for word in ("one", "two", "three"):
            api.webhooks.add(word, lambda _: allow(), delay_seconds=1)
        await api.webhooks.configure("a", "one", "two", "three", mutating=False)
        await widget(api)
        assert cluster.runtime.monotonic() == 1.0

    cluster.run(test)


def test_a_write_that_was_overtaken_during_admission_starts_again(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        await widget(api)
        api.webhooks.add("slow", lambda _: allow(), delay_seconds=1)
        await api.webhooks.configure("a", "slow", objectSelector={"matchLabels": {"slow": "yes"}})
        slow = cluster.runtime.spawn(api.merge(WIDGET, "a", {"metadata": {"labels": {"slow": "yes"}}}), name="slow")
        await api.runtime.sleep(0.5)
        await api.merge(WIDGET, "a", {"spec": {"color": "blue"}})
        merged = await slow.join()
        assert (merged["spec"]["color"], merged["metadata"]["labels"]) == ("blue", {"slow": "yes"})

    cluster.run(test)
