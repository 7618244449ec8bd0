"""No webhook, and a webhook whose certificate is about to end."""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from cachecore.names import INFERENCE_SERVICE_LABEL, STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION
from cachesim.apiserver.builtin import POD
from cachesim.apiserver.options import WriteOptions
from cachewebhook.certificates import Certificates, make_certificates, needs_renewal, renewed
from realcluster.deployment import DEMO, SYSTEM
from realcluster.faults import FaultField, expect, is_cached, until
from realcluster.network import CommandFailed
from realcluster.safety import Model

WEBHOOK = "deployment/localmodel-webhook"
SELECTOR = "app.kubernetes.io/name=localmodel-webhook"
SERVICE = f"localmodel-webhook.{SYSTEM}.svc"
NAMES = (SERVICE, f"{SERVICE}.cluster.local", "localhost", "127.0.0.1")
DAY_SECONDS = 86400.0
_SERVED = "import ssl, sys; print(ssl.get_server_certificate((sys.argv[1], 9443)))"


def admitted(field: FaultField, pod: dict[str, Any]) -> dict[str, Any]:
    """What the API server makes of a pod that is created, without creating it: webhooks are asked all the same."""
    create = field.cluster.plane.verbs.create(POD, pod, namespace=DEMO, options=WriteOptions(dry_run=True))
    return field.cluster.run(create).object


def pod_of(model: Model) -> dict[str, Any]:
    """As KServe's own webhook leaves it."""
    mount = {"name": "kserve-provision-location", "mountPath": "/mnt/models"}
    initializer = {"name": "storage-initializer", "image": "kserve/storage-initializer:v0.15.0"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "probe",
            "labels": {INFERENCE_SERVICE_LABEL: "probe"},
            "annotations": {STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION: model.uri},
        },
        "spec": {
            "initContainers": [{**initializer, "args": [model.uri, "/mnt/models"], "volumeMounts": [mount]}],
            "containers": [
                {"name": "kserve-container", "image": "server", "volumeMounts": [{**mount, "readOnly": True}]}
            ],
            "volumes": [{"name": "kserve-provision-location", "emptyDir": {}}],
        },
    }


def downloads(pod: dict[str, Any]) -> bool:
    return "storage-initializer" in [container["name"] for container in pod["spec"].get("initContainers", ())]


def test_without_a_webhook_pods_come_and_download_themselves(
    field: FaultField, heals: Callable[..., float], story: None
) -> None:
    field.apply_cache(field.story)
    until(lambda: field.whole(field.assistant, field.story))
    field.deployed.kubectl("-n", SYSTEM, "scale", WEBHOOK, "--replicas=0")
    until(lambda: expect(field.listed(POD, SYSTEM, SELECTOR) == [], "there still are webhooks"))
    field.apply_service(field.story)
    of_it = f"{INFERENCE_SERVICE_LABEL}=story"
    until(lambda: expect(field.pods(DEMO, of_it), "the service has no pod"))
    [pod] = field.pods(DEMO, of_it)
    assert downloads(pod)
    assert not is_cached(pod)
    with pytest.raises(CommandFailed, match="failed calling webhook"):
        field.deployed.kubectl("patch", "localmodelcache/story", "--type=merge", '--patch={"spec": {"priority": 1}}')
    field.deployed.kubectl("-n", SYSTEM, "scale", WEBHOOK, "--replicas=2")
    began = time.monotonic()
    until(lambda: expect(is_cached(admitted(field, pod_of(field.story))), "pods still come without their model"))
    field.replace_uncached(field.story)
    heals("there was no webhook", lambda: field.reads(field.story), since=began)
    field.whole(field.assistant, field.story)


def test_a_pod_that_is_admitted_twice_is_as_after_once(field: FaultField) -> None:
    once = admitted(field, pod_of(field.assistant))
    assert is_cached(once)
    assert not downloads(once)
    again = {**once, "metadata": {name: once["metadata"][name] for name in ("name", "labels", "annotations")}}
    twice = admitted(field, again)
    assert twice["spec"] == once["spec"]
    assert {name: twice["metadata"][name] for name in ("labels", "annotations")} == {
        name: once["metadata"][name] for name in ("labels", "annotations")
    }


def held(field: FaultField) -> Certificates:
    """What the webhooks share."""
    said = field.deployed.kubectl("-n", SYSTEM, "get", "secret/localmodel-webhook-tls", "--output=json")
    content = {name: base64.b64decode(text) for name, text in json.loads(said)["data"].items()}
    return Certificates(
        authority=content["ca.crt"],
        authority_key=content["ca.key"],
        certificate=content["tls.crt"],
        private_key=content["tls.key"],
    )


def hold(field: FaultField, certificates: Certificates) -> None:
    content = {
        "ca.crt": certificates.authority,
        "ca.key": certificates.authority_key,
        "tls.crt": certificates.certificate,
        "tls.key": certificates.private_key,
    }
    body = {"data": {name: base64.b64encode(text).decode() for name, text in content.items()}}
    field.deployed.kubectl(
        "-n", SYSTEM, "patch", "secret/localmodel-webhook-tls", "--type=merge", f"--patch={json.dumps(body)}"
    )


def served(field: FaultField) -> set[str]:
    """The certificates that the webhooks show."""
    addresses = [pod["status"]["podIP"] for pod in field.pods(SYSTEM, SELECTOR)]
    return {field.cluster.run(field.victim.run(sys.executable, "-c", _SERVED, one)).strip() for one in addresses}


def server_ends(old: Certificates, now: float) -> Certificates:
    """With a server's certificate that ends in two minutes."""
    return renewed(old, NAMES, now=now - 365 * DAY_SECONDS + 120)


def authority_ends(old: Certificates, now: float) -> Certificates:
    """Of an authority that ends before a certificate of it would; the one that is trusted now came before it."""
    return make_certificates(NAMES, now=now - 3300 * DAY_SECONDS, former=old.authority)


@pytest.mark.parametrize("ending", [server_ends, authority_ends])
def test_a_certificate_that_ends_is_renewed_and_no_pod_misses_it(
    field: FaultField, ending: Callable[..., Certificates], heals: Callable[..., float]
) -> None:
    before = served(field)
    now = time.time()
    hold(field, ending(held(field), now))
    missed: list[float] = []
    began = time.monotonic()

    def renewed_everywhere() -> None:
        pods = (admitted(field, pod_of(field.assistant)) for _ in range(10))
        missed.extend(round(time.monotonic() - began, 1) for pod in pods if not is_cached(pod))
        fresh = held(field)
        expect(not needs_renewal(fresh, NAMES, now=now), "the certificate has not been renewed")
        shown = served(field)
        expect(shown == {fresh.certificate.decode().strip()}, "not all webhooks show the new certificate")
        expect(not shown & before, "the old certificate is still shown")

    heals(f"the webhook's {ending.__name__.replace('_', ' ')}", renewed_everywhere)
    assert missed == []
