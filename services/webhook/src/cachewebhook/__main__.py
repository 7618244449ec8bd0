"""`cachewebhook`: the admission webhook as a process."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.adapters.flags import FlagParser, port_number
from cachecore.adapters.kube import connect
from cachecore.adapters.logs import configure_logging
from cachecore.adapters.service import run_service
from cachecore.adapters.status_server import StatusServer
from cachecore.errors import InvalidInput
from cachecore.names import SYSTEM_NAMESPACE
from cachecore.tasks import TaskGroup
from cachewebhook.certificates import Certificates
from cachewebhook.self_signing import SelfSigning
from cachewebhook.server import AdmissionServer, CertificateFiles, TlsIdentity, admission_app
from cachewebhook.webhook import Webhook, WebhookOptions

SERVICE = "localmodel-webhook"

logger = logging.getLogger(__name__)


def parser(environment: Mapping[str, str] | None = None) -> FlagParser:
    """Every flag of the service."""
    flags = FlagParser(
        environment=environment,
        prog="cachewebhook",
        description="Admission webhook: mounts cached models in pods, and validates caches and node groups.",
    )
    flags.add_common_flags(port=8080)
    flags.add_flag("--webhook-port", default=9443, type=port_number, help="port of the reviews, over TLS; 0: any free")
    flags.add_flag("--certificate", default="", metavar="FILE", help="the server's certificate chain, in PEM")
    flags.add_flag("--private-key", default="", metavar="FILE", help="its private key, in PEM")
    flags.add_flag(
        "--self-signed",
        default=False,
        help="make the certificate, keep it in a Secret, and have the webhook configurations trust it",
    )
    flags.add_flag("--agent-image", required=True, help="image of the agent, whose `cacheagent wait` holds pods back")
    flags.add_flag("--system-namespace", default=SYSTEM_NAMESPACE, help="namespace of the Secret and the Service")
    flags.add_flag("--service-name", default=SERVICE, help="the Service by which the API server reaches this webhook")
    flags.add_flag("--secret-name", default=f"{SERVICE}-tls", help="the Secret of --self-signed")
    flags.add_flag(
        "--configuration-name",
        default=SERVICE,
        help="the webhook configurations, mutating and validating, that --self-signed has trust the certificate",
    )
    return flags


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal; the exit code."""
    flags = parser().parse_flags(arguments)
    configure_logging(flags.log_level, flags.log_format, "webhook")
    return run_service(lambda runtime: serve(runtime, flags))


async def serve(runtime: AsyncioRuntime, flags: Any) -> None:
    """Wire the parts together and run them until cancelled. Raises `InvalidInput` for flags that can't be followed."""
    identity = TlsIdentity()
    files = _certificate_files(flags, identity)
    registry = CollectorRegistry()
    client = await connect(flags.kubeconfig or None, user_agent="localmodel-webhook")
    try:
        webhook = Webhook(runtime, client, WebhookOptions(agent_image=flags.agent_image), registry)
        app = admission_app(webhook.review_patiently, webhook.metrics)
        server = AdmissionServer(app, identity, address=flags.address, port=flags.webhook_port)
        status = StatusServer(
            address=flags.address,
            port=flags.port,
            registry=registry,
            ready=lambda: webhook.ready and identity.loaded,
        )
        status.bind()
        group = TaskGroup(runtime)
        if files is not None:
            group.spawn(files.watch(), name="certificate-files")
        else:
            group.spawn(_self_signing(runtime, client, flags, identity).run(), name="self-signing")
        group.spawn(webhook.run(), name="webhook")
        group.spawn(status.run(), name="status-server")
        group.spawn(server.run(), name="admission-server")
        group.spawn(_freeze_when_ready(webhook), name="freeze")
        await group.join()
    finally:
        await client.close()


async def _freeze_when_ready(webhook: Webhook) -> None:
    """What the first lists brought stays: the collector need not look at it again, which halves the slowest answers."""
    await webhook.wait_ready()
    gc.collect()
    gc.freeze()


def _certificate_files(flags: Any, identity: TlsIdentity) -> CertificateFiles | None:
    if flags.self_signed:
        if flags.certificate or flags.private_key:
            raise InvalidInput("--self-signed makes its own certificate: leave out --certificate and --private-key")
        return None
    if not flags.certificate or not flags.private_key:
        raise InvalidInput("give --certificate and --private-key, or --self-signed")
    files = CertificateFiles(identity, Path(flags.certificate), Path(flags.private_key))
    files.load()
    return files


def _self_signing(runtime: AsyncioRuntime, client: Any, flags: Any, identity: TlsIdentity) -> SelfSigning:
    def load(certificates: Certificates) -> None:
        identity.load(certificates.certificate, certificates.private_key)

    return SelfSigning(
        runtime,
        client,
        namespace=flags.system_namespace,
        service=flags.service_name,
        secret=flags.secret_name,
        configuration=flags.configuration_name,
        on_change=load,
    )


if __name__ == "__main__":
    sys.exit(main())
