"""Pods that differ in one thing only: where their model comes from."""

from __future__ import annotations

import copy

from cachecore.names import DISABLE_LOCAL_MODEL_ANNOTATION
from cachecore.resources.meta import JsonObject
from realcluster.pods import IMAGE, kserve_pod

WARM_URI, COLD_URI = "s3://models/assistant", "s3://models/cold"
AGENT_IMAGE = "localmodel/agent:0.1.0"
# As the guard's, but that it asks for nothing: the program ends as soon as it can.
_NOTHING: JsonObject = {
    "name": "nothing",
    "image": AGENT_IMAGE,
    "command": ["true"],
    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}},
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "terminationMessagePolicy": "FallbackToLogsOnError",
}
# The demo's, which is no secret.
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "DEMO",
    "AWS_SECRET_ACCESS_KEY": "nobody-s-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ENDPOINT_URL": "http://demo-s3.localmodel-demo.svc:9000",
}


def model_pod(name: str, uri: str, node: str) -> JsonObject:
    """As KServe makes it; the webhook takes the download out of it."""
    return kserve_pod(name, uri, node=node)


def download_pod(name: str, node: str) -> JsonObject:
    """The same, but that the webhook lets it download."""
    pod = copy.deepcopy(model_pod(name, COLD_URI, node))
    pod["metadata"]["annotations"][DISABLE_LOCAL_MODEL_ANNOTATION] = "true"
    [initializer] = pod["spec"]["initContainers"]
    initializer["env"] = [{"name": key, "value": value} for key, value in _CREDENTIALS.items()]
    return pod


def plain_pod(name: str, node: str) -> JsonObject:
    """The same server without a model: its init container does nothing, and it serves a small folder of its image."""
    pod = copy.deepcopy(model_pod(name, WARM_URI, node))
    pod["metadata"]["annotations"] = {}
    pod["spec"]["initContainers"] = [_NOTHING]
    pod["spec"]["volumes"] = []
    [server] = pod["spec"]["containers"]
    server |= {"image": IMAGE, "args": ["--model_dir=/opt/localmodel/bin"], "volumeMounts": []}
    return pod
