"""Certificates of the webhook's own making."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from cryptography import x509

from cachecore.errors import AlreadyExists, ApiUnavailable
from cachecore.resources.core import Secret
from cachecore.resources.meta import ObjectMeta
from cachecore.testing import FakeCluster, VirtualRuntime
from cachewebhook.certificates import Certificates, make_certificates, needs_renewal, renewed
from cachewebhook.self_signing import MutatingWebhookConfiguration, SelfSigning, ValidatingWebhookConfiguration

NAMESPACE = "localmodel-system"
DAY = 86_400.0
NAMES = ("localmodel-webhook.localmodel-system.svc",)


class Scene:
    def __init__(self) -> None:
        self.runtime = VirtualRuntime(seed=1)
        metadata = ObjectMeta(name="localmodel-webhook")
        hooks = ({"name": "pods", "clientConfig": {}}, {"name": "more", "clientConfig": {"caBundle": "old"}})
        self.cluster = FakeCluster(
            self.runtime,
            MutatingWebhookConfiguration(metadata=metadata, webhooks=hooks),
            ValidatingWebhookConfiguration(metadata=metadata, webhooks=hooks[:1]),
        )

    def replica(self) -> tuple[SelfSigning, list[Certificates]]:
        told: list[Certificates] = []
        signing = SelfSigning(
            self.runtime,
            self.cluster,
            namespace=NAMESPACE,
            service="localmodel-webhook",
            secret="tls",
            configuration="localmodel-webhook",
            on_change=told.append,
        )
        return signing, told

    def bundles(self, kind: Any) -> list[str]:
        configuration = self.cluster.peek(kind, "localmodel-webhook")
        assert configuration is not None
        return [webhook["clientConfig"]["caBundle"] for webhook in configuration.webhooks]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_first_replica_makes_them_and_is_trusted(scene: Scene) -> None:
    signing, told = scene.replica()
    scene.runtime.run(signing.refresh())
    bundle = base64.b64encode(told[0].authority).decode()
    assert scene.bundles(MutatingWebhookConfiguration) == [bundle, bundle]
    assert scene.bundles(ValidatingWebhookConfiguration) == [bundle]


def test_the_certificate_is_the_service_s(scene: Scene) -> None:
    signing, told = scene.replica()
    scene.runtime.run(signing.refresh())
    certificate = x509.load_pem_x509_certificate(told[0].certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "localmodel-webhook.localmodel-system.svc" in names.get_values_for_type(x509.DNSName)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(told[0].authority))


def test_the_second_replica_takes_those_of_the_first(scene: Scene) -> None:
    (first, told_first), (second, told_second) = scene.replica(), scene.replica()

    async def main() -> None:
        await first.refresh()
        await second.refresh()

    scene.runtime.run(main())
    assert told_first == told_second


def test_two_replicas_at_once_agree(scene: Scene) -> None:
    (first, told_first), (second, told_second) = scene.replica(), scene.replica()
    scene.cluster.latency_seconds = 0.01

    async def main() -> None:
        beside = scene.runtime.spawn(first.refresh(), name="first")
        await second.refresh()
        await beside.join()

    scene.runtime.run(main())
    assert told_first == told_second


def test_a_quiet_turn_writes_nothing(scene: Scene) -> None:
    signing, told = scene.replica()

    async def main() -> int:
        await signing.refresh()
        before = len(scene.cluster.writes)
        await signing.refresh()
        return len(scene.cluster.writes) - before

    assert scene.runtime.run(main()) == 0
    assert len(told) == 1


def test_trust_is_restored_when_it_was_overwritten(scene: Scene) -> None:
    signing, _ = scene.replica()

    async def main() -> None:
        await signing.refresh()
        hooks = ({"name": "pods", "clientConfig": {}},)
        metadata = ObjectMeta(name="localmodel-webhook")
        scene.cluster.add(MutatingWebhookConfiguration(metadata=metadata, webhooks=hooks))
        await signing.refresh()

    scene.runtime.run(main())
    assert len(scene.bundles(MutatingWebhookConfiguration)) == 1


def test_an_old_certificate_is_renewed_under_the_same_authority(scene: Scene) -> None:
    signing, told = scene.replica()

    async def main() -> None:
        await signing.refresh()
        await scene.runtime.sleep(340 * DAY)
        await signing.refresh()

    scene.runtime.run(main(), timeout_seconds=None)
    assert told[0].authority == told[1].authority
    assert told[0].certificate != told[1].certificate


def test_a_new_authority_is_trusted_before_it_is_used_and_beside_the_former(scene: Scene) -> None:
    (first, told_first), (second, told_second) = scene.replica(), scene.replica()
    seen: list[tuple[float, int]] = []

    async def main() -> None:
        await first.refresh()
        await second.refresh()
        await scene.runtime.sleep(3300 * DAY)
        renewal = scene.runtime.spawn(first.refresh(), name="first")
        await scene.runtime.sleep(1)
        seen.append((len(told_first), len(authorities(scene))))
        await renewal.join()
        await second.refresh()

    scene.runtime.run(main(), timeout_seconds=None)
    assert seen == [(1, 2)]
    assert told_first == told_second
    (old, new), trusted = told_first, authorities(scene)
    assert trusted == x509.load_pem_x509_certificates(new.authority)
    for shown, authority in zip((new, old), trusted, strict=True):
        x509.load_pem_x509_certificate(shown.certificate).verify_directly_issued_by(authority)


def test_an_authority_that_has_ended_is_trusted_no_more() -> None:
    old = make_certificates(NAMES, now=0.0)
    new = make_certificates(NAMES, now=3651 * DAY, former=old.authority)
    assert len(x509.load_pem_x509_certificates(new.authority)) == 1


def authorities(scene: Scene) -> list[x509.Certificate]:
    """Those that the API server trusts for pods."""
    [bundle] = set(scene.bundles(MutatingWebhookConfiguration))
    return x509.load_pem_x509_certificates(base64.b64decode(bundle))


def test_a_secret_that_holds_something_else_is_filled(scene: Scene) -> None:
    scene.cluster.add(Secret(metadata=ObjectMeta(name="tls", namespace=NAMESPACE), data={"tls.crt": "?"}))
    signing, told = scene.replica()
    scene.runtime.run(signing.refresh())
    held = scene.cluster.peek(Secret, "tls", NAMESPACE)
    assert held is not None
    assert base64.b64decode(held.data["tls.crt"]) == told[0].certificate


def test_a_failing_api_server_is_asked_again(scene: Scene) -> None:
    signing, told = scene.replica()
    scene.cluster.faults.fail("get", ApiUnavailable("no answer"), times=2)

    async def main() -> None:
        task = scene.runtime.spawn(signing.run(), name="signing")
        await scene.runtime.sleep(5)
        task.cancel()

    scene.runtime.run(main())
    assert len(told) == 1


def test_a_lost_race_is_no_error(scene: Scene) -> None:
    signing, told = scene.replica()
    scene.cluster.faults.fail("create", AlreadyExists("someone was first"))
    scene.runtime.run(signing.refresh())
    assert len(told) == 1


def test_a_name_that_is_missing_calls_for_a_new_certificate() -> None:
    certificates = make_certificates(NAMES, now=0.0)
    assert not needs_renewal(certificates, NAMES, now=0.0)
    assert needs_renewal(certificates, ("another.name",), now=0.0)
    assert not needs_renewal(renewed(certificates, ("another.name",), now=0.0), ("another.name",), now=0.0)


def test_a_certificate_that_is_none_calls_for_a_new_one() -> None:
    broken = msgspec.structs.replace(make_certificates(NAMES, now=0.0), certificate=b"?")
    assert needs_renewal(broken, NAMES, now=0.0)


def test_keys_are_not_printed() -> None:
    assert repr(make_certificates(NAMES, now=0.0)) == "Certificates(...)"
