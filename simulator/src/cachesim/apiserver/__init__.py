"""The in-memory Kubernetes API server: the verbs and rules of the real one, over plain objects, on any Runtime."""

from cachesim.apiserver.admission import AdmissionCaller, WebhookFailure
from cachesim.apiserver.client import InMemoryClient
from cachesim.apiserver.errors import status_body
from cachesim.apiserver.options import Answer, DeleteOptions, WriteOptions
from cachesim.apiserver.resources import ResourceRegistry, ResourceType
from cachesim.apiserver.server import ApiServer
from cachesim.apiserver.watch import ServerWatch

__all__ = [
    "AdmissionCaller",
    "Answer",
    "ApiServer",
    "DeleteOptions",
    "InMemoryClient",
    "ResourceRegistry",
    "ResourceType",
    "ServerWatch",
    "WebhookFailure",
    "WriteOptions",
    "status_body",
]
