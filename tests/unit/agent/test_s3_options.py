"""What credentials and the agent's environment together mean for S3."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest

from cacheagent.adapters.s3_options import S3Options
from cachecore.errors import AccessDenied
from cachecore.ports import Credentials
from cachesim.host.certificates import make_certificate

KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}


def options(values: dict[str, str] | None = None, environment: dict[str, str] | None = None) -> S3Options:
    return S3Options(Credentials(tuple((values or {}).items())), environment or {})


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    return make_certificate(tmp_path, ("x",), now=datetime.datetime.now(datetime.UTC)).authority.decode()


def test_a_session_token_of_the_environment_does_not_join_a_secrets_keys() -> None:
    arguments = options(KEYS, {"AWS_ACCESS_KEY_ID": "ours", "AWS_SESSION_TOKEN": "ours"}).arguments()
    assert (arguments["key"], arguments["token"]) == ("id", None)


@pytest.mark.parametrize("values, anonymous", [({}, True), (KEYS, False), ({"awsAnonymousCredential": "1"}, True)])
def test_who_has_keys_of_his_own_is_not_anonymous_by_the_environment(values: dict[str, str], anonymous: bool) -> None:
    assert options(values, {"awsAnonymousCredential": "true"}).arguments().get("anon", False) is anonymous


@pytest.mark.parametrize("region, style", [("", None), ("us-east-1", None), ("eu-central-1", "virtual")])
def test_the_old_global_endpoint_is_asked_for_other_regions_by_the_buckets_host(region: str, style: str | None) -> None:
    chosen = options({"AWS_ENDPOINT_URL": "https://s3.amazonaws.com", "AWS_DEFAULT_REGION": region})
    assert chosen.addressing().get("addressing_style") == style


def test_a_bundle_in_the_credentials_is_a_file_as_long_as_it_is_needed(bundle: str) -> None:
    chosen = options({"CA_BUNDLE_PEM": bundle, "AWS_CA_BUNDLE": "/nowhere"})
    path = Path(chosen.arguments()["client_kwargs"]["verify"])
    assert path.read_text() == bundle
    assert len(chosen.tls().get_ca_certs()) == 1
    del chosen
    assert not path.exists()


def test_a_bundle_of_the_environment_is_read_from_its_path(bundle: str, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text(f"# Főtanúsítvány\n{bundle}")
    chosen = options(environment={"AWS_CA_BUNDLE": str(tmp_path / "ca.crt")})
    assert chosen.arguments()["client_kwargs"]["verify"] == str(tmp_path / "ca.crt")
    assert len(chosen.tls().get_ca_certs()) == 1


def test_a_bundle_that_is_away_is_named() -> None:
    with pytest.raises(AccessDenied, match="the CA bundle /nowhere can't be read: No such file"):
        options(environment={"AWS_CA_BUNDLE": "/nowhere"}).tls()


def test_whoever_trusts_the_same_shares_connections(bundle: str) -> None:
    assert options(KEYS).tls() is options().tls()
    assert options({"CA_BUNDLE_PEM": bundle}).tls() is options({**KEYS, "CA_BUNDLE_PEM": bundle}).tls()
    assert options({"S3_VERIFY_SSL": "0"}).tls().verify_mode is ssl.CERT_NONE


def test_a_bundle_that_is_none_is_not_quoted() -> None:
    with pytest.raises(AccessDenied, match=r"^the CA bundle is not the text of certificates in PEM$"):
        options({"CA_BUNDLE_PEM": "-----BEGIN CERTIFICATE-----\nswordfish"})
