"""The manifests fit the services: flags that exist, ports that are served, names that agree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import pytest

from cachecore.names import MANAGER_LEASE, SYSTEM_NAMESPACE
from cachewebhook.__main__ import SERVICE, parser
from cachewebhook.webhook import MUTATE_PATH, VALIDATE_PATH

Manifest = dict[str, Any]
SERVICES = ("manager", "agent", "webhook")


def arguments(workload: Manifest) -> list[str]:
    found: list[str] = workload["containers"][0]["args"]
    return found


def help_of(service: str, words: list[str]) -> str:
    """What the service's own `--help` says of its flags."""
    command = [sys.executable, "-m", f"cache{service}", *words, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"})
    return done.stdout


@pytest.mark.parametrize("service", SERVICES)
def test_every_flag_exists(workloads: dict[str, Manifest], service: str) -> None:
    given = arguments(workloads[service])
    words = [word for word in given if not word.startswith("-")]
    known = set(re.findall(r"--[a-z-]+", help_of(service, words)))
    assert {flag.partition("=")[0] for flag in given if flag.startswith("-")} <= known


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_is_a_flag_or_is_used(workloads: dict[str, Manifest], service: str) -> None:
    given = arguments(workloads[service])
    shown = help_of(service, [word for word in given if not word.startswith("-")])
    for variable in workloads[service]["containers"][0]["env"]:
        name = variable["name"]
        assert name in shown or any(f"$({name})" in argument for argument in given), name


def test_the_webhook_takes_its_arguments(workloads: dict[str, Manifest], monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in workloads["webhook"]["containers"][0]["env"]:
        monkeypatch.setenv(variable["name"], variable.get("value", "x"))
    flags = parser().parse_flags(arguments(workloads["webhook"]))
    assert flags.agent_image == "localmodel/agent"
    assert flags.self_signed


@pytest.mark.parametrize("service", SERVICES)
def test_probes_ask_the_port_that_is_served(workloads: dict[str, Manifest], service: str) -> None:
    container = workloads[service]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert f"--port={ports['status']}" in container["args"]
    for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "status"}


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_runs_as_root(workloads: dict[str, Manifest], service: str) -> None:
    workload = workloads[service]
    assert workload["securityContext"]["runAsNonRoot"] is True
    context = workload["containers"][0]["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}


def test_the_agent_keeps_models_where_the_folder_is_mounted(workloads: dict[str, Manifest]) -> None:
    workload = workloads["agent"]
    (path,) = (volume["hostPath"]["path"] for volume in workload["volumes"] if "hostPath" in volume)
    assert f"--root={path}" in arguments(workload)
    assert path in {mount["mountPath"] for mount in workload["containers"][0]["volumeMounts"]}
    assert path in workload["initContainers"][0]["command"]


def configurations(manifests: list[Manifest]) -> dict[str, Manifest]:
    return {each["kind"]: each for each in manifests if each["kind"].endswith("WebhookConfiguration")}


def test_the_webhooks_reach_the_service(manifests: list[Manifest], workloads: dict[str, Manifest]) -> None:
    service = next(each for each in manifests if each["kind"] == "Service")
    ports = {port["name"]: port["containerPort"] for port in workloads["webhook"]["containers"][0]["ports"]}
    assert f"--webhook-port={ports[service['spec']['ports'][0]['targetPort']]}" in arguments(workloads["webhook"])
    for configuration in configurations(manifests).values():
        # By these names `--self-signed` finds what has to trust it, and what its certificate is for.
        assert configuration["metadata"]["name"] == service["metadata"]["name"] == SERVICE
        for webhook in configuration["webhooks"]:
            reference = webhook["clientConfig"]["service"]
            assert reference["name"] == SERVICE
            # Kustomize fills it in, and in another one when it is told so.
            assert "namespace" not in reference
            assert reference["port"] == service["spec"]["ports"][0]["port"]
            assert reference["path"] in (MUTATE_PATH, VALIDATE_PATH)


def test_a_webhook_that_is_down_stops_no_pod(manifests: list[Manifest]) -> None:
    (webhook,) = configurations(manifests)["MutatingWebhookConfiguration"]["webhooks"]
    assert webhook["failurePolicy"] == "Ignore"
    assert webhook["timeoutSeconds"] == 5
    assert webhook["reinvocationPolicy"] == "IfNeeded"
    (expression,) = webhook["namespaceSelector"]["matchExpressions"]
    assert expression["operator"] == "NotIn"
    assert {"kube-system", SYSTEM_NAMESPACE} <= set(expression["values"])


def test_a_lease_of_the_manager_s_name_may_be_written(manifests: list[Manifest]) -> None:
    rules = [rule for each in manifests if each["kind"] == "Role" for rule in each["rules"]]
    assert any(
        rule["resources"] == ["leases"] and rule.get("resourceNames") == [MANAGER_LEASE] and "update" in rule["verbs"]
        for rule in rules
    )
