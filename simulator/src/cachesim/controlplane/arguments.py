"""The command lines of the parts."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cachesim.controlplane.options import KubeOptions

ADDRESS = "127.0.0.1"
# The first of the services' addresses is the API server's own.
SERVICE_ADDRESS = "10.0.0.1"
_ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - of a network that has no way out
AUDIT_LOG = "audit.log"
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
"""


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    etcd: int
    etcd_peer: int
    api_server: int
    controller_manager: int
    scheduler: int


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """All in one directory; the certificate is valid for every part, as all are on one address."""

    directory: Path

    @property
    def certificate(self) -> Path:
        return self.directory / "tls" / "tls.crt"

    @property
    def private_key(self) -> Path:
        return self.directory / "tls" / "tls.key"

    @property
    def authority(self) -> Path:
        return self.directory / "tls" / "ca.crt"

    @property
    def account_key(self) -> Path:
        """Signs the tokens of service accounts."""
        return self.directory / "tls" / "accounts.key"

    @property
    def tokens(self) -> Path:
        return self.directory / "tokens.csv"

    @property
    def kubeconfig(self) -> Path:
        """Of the controllers and the scheduler."""
        return self.directory / "kubeconfig"

    @property
    def audit_policy(self) -> Path:
        return self.directory / "audit-policy.yaml"

    @property
    def audit_log(self) -> Path:
        return self.directory / AUDIT_LOG


def etcd(ports: Ports, files: Files) -> tuple[str, ...]:
    client, peer = (f"http://{ADDRESS}:{port}" for port in (ports.etcd, ports.etcd_peer))
    return (
        f"--data-dir={files.directory / 'etcd'}",
        *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
        *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}"),
        # What is in it is of no use after a crash of this machine.
        "--unsafe-no-fsync",
        "--log-level=warn",
    )


def api_server(ports: Ports, files: Files, options: KubeOptions) -> tuple[str, ...]:
    audit = (f"--audit-policy-file={files.audit_policy}", f"--audit-log-path={files.audit_log}")
    return (
        f"--etcd-servers=http://{ADDRESS}:{ports.etcd}",
        *_serving(ports.api_server, files, _ANY_ADDRESS if options.advertised else ADDRESS),
        *("--authorization-mode=Node,RBAC", f"--token-auth-file={files.tokens}"),
        "--service-account-issuer=https://kubernetes.default.svc",
        *(f"--service-account-key-file={files.account_key}", f"--service-account-signing-key-file={files.account_key}"),
        "--service-cluster-ip-range=10.0.0.0/24",
        *_reachable(options.advertised),
        "--external-hostname=localhost",
        "--allow-privileged=true",
        # Nodes are of this machine, and know the API server by its certificate.
        *("--kubelet-preferred-address-types=InternalIP", f"--kubelet-certificate-authority={files.authority}"),
        *(f"--kubelet-client-certificate={files.certificate}", f"--kubelet-client-key={files.private_key}"),
        # It is for servers that many share; here it would only queue the load of one.
        "--enable-priority-and-fairness=false",
        "--shutdown-delay-duration=0",
        *(audit if options.audit else ()),
        # All of it in one file: the default is to rotate at 100 MB.
        *(("--audit-log-maxsize=100000",) if options.audit else ()),
    )


def controller_manager(ports: Ports, files: Files, options: KubeOptions) -> tuple[str, ...]:
    return (
        *_client(files),
        *_serving(ports.controller_manager, files),
        f"--service-account-private-key-file={files.account_key}",
        f"--root-ca-file={files.authority}",
        f"--node-monitor-grace-period={options.node_grace_seconds}s",
    )


def scheduler(ports: Ports, files: Files) -> tuple[str, ...]:
    return (*_client(files), *_serving(ports.scheduler, files))


def _client(files: Files) -> tuple[str, ...]:
    return (
        f"--kubeconfig={files.kubeconfig}",
        *(f"--authentication-kubeconfig={files.kubeconfig}", f"--authorization-kubeconfig={files.kubeconfig}"),
        "--leader-elect=false",
        # Client-side rate limits are for a cluster that many share.
        *("--kube-api-qps=1000", "--kube-api-burst=2000"),
    )


def _reachable(advertised: str) -> tuple[str, ...]:
    if not advertised:
        # An address of loopback can't be an endpoint of the service `kubernetes`.
        return ("--endpoint-reconciler-type=none",)
    # No kube-proxy runs beside the API server: it finds webhooks by the addresses of their pods.
    return (f"--advertise-address={advertised}", "--enable-aggregator-routing=true")


def _serving(port: int, files: Files, address: str = ADDRESS) -> tuple[str, ...]:
    return (
        *(f"--bind-address={address}", f"--secure-port={port}"),
        *(f"--tls-cert-file={files.certificate}", f"--tls-private-key-file={files.private_key}"),
    )
