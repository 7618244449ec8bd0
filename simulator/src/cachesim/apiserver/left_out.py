"""What Kubernetes' API has and this server leaves out: each a 501 that names it, so that nothing differs in silence.

docs/api-server.md lists it for people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachecore.errors import ApiUnavailable

if TYPE_CHECKING:
    from cachesim.apiserver.resources import JsonObject

# By group, the built-in kinds of Kubernetes 1.36 that are not served.
KINDS: dict[str, frozenset[str]] = {
    group: frozenset(plurals.split())
    for group, plurals in {
        "": "bindings componentstatuses endpoints limitranges podtemplates replicationcontrollers resourcequotas",
        "admissionregistration.k8s.io": "mutatingadmissionpolicies mutatingadmissionpolicybindings "
        "validatingadmissionpolicies validatingadmissionpolicybindings",
        "apiregistration.k8s.io": "apiservices",
        "apps": "controllerrevisions replicasets statefulsets",
        "autoscaling": "horizontalpodautoscalers",
        "batch": "cronjobs jobs",
        "certificates.k8s.io": "certificatesigningrequests",
        "discovery.k8s.io": "endpointslices",
        "events.k8s.io": "events",
        "flowcontrol.apiserver.k8s.io": "flowschemas prioritylevelconfigurations",
        "networking.k8s.io": "ingressclasses ingresses ipaddresses networkpolicies servicecidrs",
        "node.k8s.io": "runtimeclasses",
        "policy": "poddisruptionbudgets",
        "rbac.authorization.k8s.io": "clusterrolebindings clusterroles rolebindings roles",
        "resource.k8s.io": "deviceclasses resourceclaims resourceclaimtemplates resourceslices",
        "scheduling.k8s.io": "priorityclasses",
        "storage.k8s.io": "csidrivers csinodes csistoragecapacities volumeattachments volumeattributesclasses",
    }.items()
}
SUBRESOURCES: dict[tuple[str, str], frozenset[str]] = {
    key: frozenset(names.split())
    for key, names in {
        ("", "nodes"): "proxy",
        ("", "pods"): "attach ephemeralcontainers exec portforward proxy resize",
        ("", "serviceaccounts"): "token",
        ("", "services"): "proxy",
        ("apps", "deployments"): "scale",
    }.items()
}
# Below these, or exactly there.
PATHS = ("/metrics", "/openapi/v2", "/openid/v1", "/.well-known/openid-configuration", "/debug", "/logs")


def not_implemented(what: str) -> ApiUnavailable:
    message = f"the API server of the local cluster leaves out {what}"
    return ApiUnavailable(message, status_code=501, reason="NotImplemented")


def refuse_kind(group: str, plural: str) -> None:
    """Raises the 501 of a built-in kind, or of a subresource (`pods/exec`)."""
    name, _, subresource = plural.partition("/")
    if name in KINDS.get(group, ()) or subresource in SUBRESOURCES.get((group, name), ()):
        raise not_implemented(f"{plural}.{group}" if group else plural)


def refuse_path(path: str) -> None:
    for each in PATHS:
        if path == each or path.startswith(f"{each}/"):
            raise not_implemented(each)


def refuse_definition(definition: JsonObject) -> None:
    """Raises the 501 of a definition whose kind would not be what it is in a real cluster."""
    spec = definition.get("spec") or {}
    if (spec.get("conversion") or {}).get("strategy") == "Webhook":
        raise not_implemented("conversion webhooks")
    served = [version for version in spec.get("versions") or [] if version.get("served")]
    if len(served) > 1:
        raise not_implemented("definitions that serve more than one version")
    if any("scale" in (version.get("subresources") or {}) for version in served):
        raise not_implemented("the scale subresource of custom resources")
