"""The in-memory API server over HTTP, for kubectl, the official client and the services as processes."""

from cachesim.apiserver.http.admission import HttpsAdmissionCaller, ServiceAddress
from cachesim.apiserver.http.app import PodLogs, create_app
from cachesim.apiserver.http.server import HttpFront

__all__ = ["HttpFront", "HttpsAdmissionCaller", "PodLogs", "ServiceAddress", "create_app"]
