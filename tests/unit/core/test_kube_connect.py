"""The client of the API server: credentials."""

from __future__ import annotations

import asyncio
import base64
import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kubernetes.aio.config import incluster_config

from cachecore.adapters.kube import KubeClient, connect
from cachecore.errors import ApiUnavailable, InvalidInput
from cachecore.resources.core import Node
from cachecore.resources.meta import ObjectMeta
from cachecore.testing.scripted_api import NODE, Connecting, ScriptedApiServer, always, refusal, write_kubeconfig


@pytest.mark.parametrize("content", ["", "{}", "- a\n", "a: [", "users: 5"])
def test_a_useless_kubeconfig_is_one_clear_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(InvalidInput, match="config is not usable: ") as caught:
        asyncio.run(connect(str(path), user_agent="tester/1"))
    assert "\n" not in str(caught.value)


def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="absent: no such file"):
        asyncio.run(connect(str(tmp_path / "absent"), user_agent="tester/1"))


def test_outside_a_cluster_a_kubeconfig_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InvalidInput, match="name a kubeconfig"):
        asyncio.run(connect("", user_agent="tester/1"))


def test_a_broken_certificate_is_one_clear_line(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path, "https://127.0.0.1:1", "secret")
    edit(path, {"certificate-authority-data": base64.b64encode(b"no certificate").decode()}, {})
    with pytest.raises(InvalidInput, match="certificate"):
        asyncio.run(connect(str(path), user_agent="tester/1"))


# Python 3.13 believes only an authority that says what it is for.
MAY_SIGN = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """A certificate authority, made for one test: `ca.crt`, and pairs of files that it has signed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
        self.certificate = folder / "ca.crt"
        own = self._builder("authority", self._key).add_extension(x509.BasicConstraints(True, 0), critical=True)
        self._write(self.certificate, own.add_extension(MAY_SIGN, critical=True))

    def sign(self, name: str) -> tuple[Path, Path]:
        """Certificate and key for `name` on 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate, key_file = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        self._write(certificate, self._builder(name, key).add_extension(address, critical=False))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, key_file

    def _builder(self, name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(
            now + datetime.timedelta(days=1)
        )
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return builder.add_extension(issuer, critical=False)

    def _write(self, path: Path, builder: x509.CertificateBuilder) -> None:
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def edit(kubeconfig: Path, cluster: dict[str, Any], user: dict[str, Any]) -> Any:
    """Add to the kubeconfig's cluster and user; answer what it holds then."""
    content = msgspec.json.decode(kubeconfig.read_bytes())
    content["clusters"][0]["cluster"].update(cluster)
    content["users"][0]["user"].update(user)
    kubeconfig.write_bytes(msgspec.json.encode(content))
    return content


def with_files(cluster: dict[str, Any], user: dict[str, Any]) -> Connecting:
    """Connect after adding to the kubeconfig's cluster and user."""

    async def connecting(kubeconfig: str, *, user_agent: str) -> KubeClient:
        edit(Path(kubeconfig), cluster, user)
        return await connect(kubeconfig, user_agent=user_agent)

    return connecting


def tls_of(authority: Authority, *, wants_client: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
    context.load_cert_chain(*authority.sign("server"))
    context.verify_mode = ssl.CERT_REQUIRED if wants_client else ssl.CERT_NONE
    return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_the_clusters_authority_is_trusted(tmp_path: Path, authority: Authority) -> None:
    server = ScriptedApiServer(always(NODE), tls_of(authority, wants_client=False))
    connecting = with_files({"certificate-authority-data": encoded(authority.certificate)}, {})
    node = server.run(tmp_path, lambda client: client.get(Node, "a"), connecting=connecting)
    assert node.name == "a"


def test_another_authority_is_not_trusted(tmp_path: Path, authority: Authority) -> None:
    server = ScriptedApiServer(always(NODE), tls_of(authority, wants_client=False))
    (tmp_path / "other").mkdir()
    connecting = with_files({"certificate-authority": str(Authority(tmp_path / "other").certificate)}, {})
    with pytest.raises(ApiUnavailable, match=r"(?i)certificate"):
        server.run(tmp_path, lambda client: client.create(Node(metadata=ObjectMeta(name="a"))), connecting=connecting)
    assert server.requests == []


def test_a_client_certificate_is_shown(tmp_path: Path, authority: Authority) -> None:
    server = ScriptedApiServer(always(NODE), tls_of(authority, wants_client=True))
    certificate, key = authority.sign("me")
    connecting = with_files(
        {"certificate-authority": str(authority.certificate)},
        {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)},
    )
    assert server.run(tmp_path, lambda client: client.get(Node, "a"), connecting=connecting).name == "a"


def test_a_pod_connects_by_its_service_account_whose_token_is_read_again(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("stale")

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers["Authorization"].lower() == "bearer fresh":
            return web.json_response(NODE)
        token.write_text("fresh")
        return web.json_response(refusal(401), status=401)

    async def in_cluster(kubeconfig: str, *, user_agent: str) -> KubeClient:
        url = edit(Path(kubeconfig), {}, {})["clusters"][0]["cluster"]["server"]
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", url.rpartition(":")[2])
        monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
        monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority.certificate))
        return await connect("", user_agent=user_agent)

    server = ScriptedApiServer(handler, tls_of(authority, wants_client=False))
    node = server.run(tmp_path, lambda client: client.get(Node, "a"), connecting=in_cluster)
    assert node.name == "a"
    assert len(server.requests) == 2
