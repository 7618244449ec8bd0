"""Without cert-manager: the webhook makes its certificates, shares them among its replicas, and asks to be trusted.

They live in a Secret, which the first replica makes. Each replica sees to it that the webhook configurations trust the
authority, again whenever somebody has applied them anew. A new authority is trusted first and used then, and the one
before it is trusted as long as it is valid: another replica may show its certificate for a while.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable
from typing import ClassVar

import msgspec

from cachecore.errors import AlreadyExists, ApiError, Conflict, NotFound
from cachecore.ports.cluster import ClusterClient, Patch, PatchType
from cachecore.ports.runtime import Runtime
from cachecore.resources.core import Secret
from cachecore.resources.meta import JsonObject, ObjectMeta, Resource, ResourceType
from cachewebhook.certificates import (
    Certificates,
    authority_needs_renewal,
    make_certificates,
    needs_renewal,
    renewed,
)

_GROUP = "admissionregistration.k8s.io"
# As kubernetes.io/tls has them, with the authority beside.
_FIELDS = {"certificate": "tls.crt", "private_key": "tls.key", "authority": "ca.crt", "authority_key": "ca.key"}
_ATTEMPTS = 5
_FIRST_RETRY_SECONDS = 1.0
# After so long every API server has heard of a new authority.
_TRUSTED_SECONDS = 5.0

logger = logging.getLogger(__name__)


class MutatingWebhookConfiguration(Resource, frozen=True, kw_only=True):
    """`webhooks` is passed through: only the caBundle of each clientConfig matters here."""

    resource_type: ClassVar[ResourceType] = ResourceType(
        group=_GROUP,
        version="v1",
        kind="MutatingWebhookConfiguration",
        plural="mutatingwebhookconfigurations",
        namespaced=False,
    )

    webhooks: tuple[JsonObject, ...] = ()


class ValidatingWebhookConfiguration(Resource, frozen=True, kw_only=True):
    """`webhooks` is passed through: only the caBundle of each clientConfig matters here."""

    resource_type: ClassVar[ResourceType] = ResourceType(
        group=_GROUP,
        version="v1",
        kind="ValidatingWebhookConfiguration",
        plural="validatingwebhookconfigurations",
        namespaced=False,
    )

    webhooks: tuple[JsonObject, ...] = ()


class SelfSigning:
    """Keeps the certificates fresh and the configurations trusting; `on_change` is told of each new pair."""

    def __init__(
        self,
        runtime: Runtime,
        client: ClusterClient,
        *,
        namespace: str,
        service: str,
        secret: str,
        configuration: str,
        on_change: Callable[[Certificates], None],
        period_seconds: float = 30.0,
    ) -> None:
        self._runtime = runtime
        self._client = client
        self._namespace = namespace
        self._secret = secret
        self._configuration = configuration
        self._on_change = on_change
        self._period_seconds = period_seconds
        self._names = (
            f"{service}.{namespace}.svc",
            f"{service}.{namespace}.svc.cluster.local",
            "localhost",
            "127.0.0.1",
        )
        self._current: Certificates | None = None

    async def run(self) -> None:
        """Until cancelled. What fails is soon tried again: until it succeeds, nobody can reach the webhook."""
        retry_seconds = _FIRST_RETRY_SECONDS
        while True:
            try:
                await self.refresh()
            except ApiError as error:
                logger.warning("the webhook's certificates: %s", error)
                await self._runtime.sleep(retry_seconds)
                retry_seconds = min(2 * retry_seconds, self._period_seconds)
            else:
                retry_seconds = _FIRST_RETRY_SECONDS
                await self._runtime.sleep(self._period_seconds)

    async def refresh(self) -> None:
        """One turn. Raises `ApiError`."""
        certificates, shown = await self._certificates(), self._current
        if shown is None:
            self._serve(certificates)
        await self._trust(MutatingWebhookConfiguration, certificates.authority)
        await self._trust(ValidatingWebhookConfiguration, certificates.authority)
        if shown is not None and certificates != shown:
            if certificates.authority != shown.authority:
                # What is shown meanwhile is trusted still: the former authority is in the bundle.
                await self._runtime.sleep(_TRUSTED_SECONDS)
            self._serve(certificates)

    def _serve(self, certificates: Certificates) -> None:
        self._current = certificates
        self._on_change(certificates)

    async def _certificates(self) -> Certificates:
        """Those of the Secret, made or renewed when it is time; the replica that comes first wins."""
        for _ in range(_ATTEMPTS):
            try:
                secret = await self._client.get(Secret, self._secret, self._namespace)
            except NotFound:
                made = make_certificates(self._names, now=self._runtime.now())
                try:
                    await self._client.create(self._as_secret(made))
                except AlreadyExists:
                    continue
                return made
            held = _held(secret)
            fresh = self._freshened(held)
            if fresh == held:
                return fresh
            try:
                await self._client.patch(
                    Secret,
                    self._secret,
                    Patch(
                        body={
                            "metadata": {"resourceVersion": secret.metadata.resource_version},
                            "data": self._as_secret(fresh).data,
                        }
                    ),
                    namespace=self._namespace,
                )
            except Conflict:
                continue
            return fresh
        raise Conflict(f"secret {self._namespace}/{self._secret} changes faster than it can be read")

    def _freshened(self, held: Certificates | None) -> Certificates:
        now = self._runtime.now()
        if held is None or authority_needs_renewal(held, now=now):
            return make_certificates(self._names, now=now, former=b"" if held is None else held.authority)
        if needs_renewal(held, self._names, now=now):
            return renewed(held, self._names, now=now)
        return held

    def _as_secret(self, certificates: Certificates) -> Secret:
        return Secret(
            metadata=ObjectMeta(name=self._secret, namespace=self._namespace),
            type="kubernetes.io/tls",
            data={entry: base64.b64encode(getattr(certificates, field)).decode() for field, entry in _FIELDS.items()},
        )

    async def _trust(
        self, kind: type[MutatingWebhookConfiguration | ValidatingWebhookConfiguration], authority: bytes
    ) -> None:
        bundle = base64.b64encode(authority).decode()
        configuration: MutatingWebhookConfiguration | ValidatingWebhookConfiguration
        configuration = await self._client.get(kind, self._configuration)
        operations: list[JsonObject] = []
        for index, webhook in enumerate(configuration.webhooks):
            if (webhook.get("clientConfig") or {}).get("caBundle") != bundle:
                # Somebody may have put another webhook in this place meanwhile.
                operations.append({"op": "test", "path": f"/webhooks/{index}/name", "value": webhook.get("name")})
                operations.append({"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": bundle})
        if operations:
            await self._client.patch(kind, self._configuration, Patch(type=PatchType.JSON, body=operations))
            logger.info("%s %s trusts the webhook now", kind.resource_type.kind, self._configuration)


def _held(secret: Secret) -> Certificates | None:
    """None when the Secret holds something else."""
    try:
        content = {field: base64.b64decode(secret.data[entry], validate=True) for field, entry in _FIELDS.items()}
    except (KeyError, binascii.Error):
        return None
    return msgspec.convert(content, Certificates)
