"""The overlay whose certificate comes from cert-manager: what mounts, injects and names it agrees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cachewebhook.__main__ import parser

Manifest = dict[str, Any]
Render = Callable[[str], list[Manifest]]
By = dict[tuple[str, str], Manifest]


@pytest.fixture
def built(render: Render) -> By:
    return {(each["kind"], each["metadata"]["name"]): each for each in render("cert-manager")}


@pytest.fixture
def pod(built: By) -> Manifest:
    return dict(built["Deployment", "localmodel-webhook"]["spec"]["template"]["spec"])


def test_the_webhook_reads_the_certificate_that_is_mounted(built: By, pod: Manifest) -> None:
    (container,) = pod["containers"]
    flags = parser({"LOCALMODEL_AGENT_IMAGE": "localmodel/agent"}).parse_flags(container["args"])
    assert not flags.self_signed
    (volume,) = (each for each in pod["volumes"] if "secret" in each)
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == volume["name"])
    assert mount["readOnly"]
    assert flags.certificate == f"{mount['mountPath']}/tls.crt"
    assert flags.private_key == f"{mount['mountPath']}/tls.key"
    assert built["Certificate", "localmodel-webhook"]["spec"]["secretName"] == volume["secret"]["secretName"]


def test_the_certificate_is_the_service_s(built: By) -> None:
    service = built["Service", "localmodel-webhook"]["metadata"]
    names = built["Certificate", "localmodel-webhook"]["spec"]["dnsNames"]
    assert f"{service['name']}.{service['namespace']}.svc" in names


@pytest.mark.parametrize("kind", ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"])
def test_the_api_server_is_made_to_trust_it(built: By, kind: str) -> None:
    certificate = built["Certificate", "localmodel-webhook"]["metadata"]
    annotations = built[kind, "localmodel-webhook"]["metadata"]["annotations"]
    place = f"{certificate['namespace']}/{certificate['name']}"
    assert annotations["cert-manager.io/inject-ca-from"] == place


def test_every_certificate_has_its_issuer(built: By) -> None:
    for (kind, _), manifest in built.items():
        if kind == "Certificate":
            assert ("Issuer", manifest["spec"]["issuerRef"]["name"]) in built
    authority = built["Issuer", "localmodel-webhook-authority"]["spec"]["ca"]["secretName"]
    assert built["Certificate", "localmodel-webhook-authority"]["spec"]["secretName"] == authority


def test_nothing_may_change_what_is_trusted(built: By) -> None:
    rules = [rule for (kind, _), each in built.items() if kind in ("Role", "ClusterRole") for rule in each["rules"]]
    assert [rule for rule in rules if "admissionregistration.k8s.io" in rule["apiGroups"]] == []
    assert [rule for rule in rules if "secrets" in rule["resources"] and set(rule["verbs"]) != {"get"}] == []
    assert not any("self-signing" in name for _, name in built)
