"""Certificates that the webhook makes for itself: an authority of its own, and a server certificate that it signs."""

from __future__ import annotations

import datetime
import ipaddress

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cachecore.errors import InvalidInput

_AUTHORITY_VALID = datetime.timedelta(days=3650)
_SERVER_VALID = datetime.timedelta(days=365)
_CLOCK_SKEW = datetime.timedelta(hours=1)
_RENEWED_BEFORE_END = datetime.timedelta(days=30)


class Certificates(msgspec.Struct, frozen=True, kw_only=True):
    """All in PEM. The authority's key is kept, so that a renewed certificate needs no new trust.

    `authority` may be followed by former ones, whose certificates are to be trusted as long as they are valid.
    """

    authority: bytes
    authority_key: bytes
    certificate: bytes
    private_key: bytes

    def __repr__(self) -> str:
        return "Certificates(...)"


def make_certificates(names: tuple[str, ...], *, now: float, former: bytes = b"") -> Certificates:
    """A new authority and a server certificate for `names` (DNS names or IP addresses).

    `former` are authorities that may still be met: those that are valid now are kept behind the new one.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localmodel webhook authority")])
    authority = (
        _builder(subject, subject, key.public_key(), now, _AUTHORITY_VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    valid = [one for one in _authorities(former) if one.not_valid_after_utc > _moment(now)]
    return _signed(names, [authority, *valid], key, now)


def renewed(old: Certificates, names: tuple[str, ...], *, now: float) -> Certificates:
    """A new server certificate of the same authority."""
    authorities = _authorities(old.authority)
    key = serialization.load_pem_private_key(old.authority_key, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InvalidInput("the authority's key is of another kind than this webhook makes: delete its secret")
    return _signed(names, authorities, key, now)


def needs_renewal(certificates: Certificates, names: tuple[str, ...], *, now: float) -> bool:
    """Whether the server certificate ends within 30 days, or lacks one of the names."""
    try:
        certificate = x509.load_pem_x509_certificate(certificates.certificate)
    except ValueError:
        return True
    carried = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if any(_general_name(name) not in carried for name in names):
        return True
    return certificate.not_valid_after_utc - _moment(now) < _RENEWED_BEFORE_END


def authority_needs_renewal(certificates: Certificates, *, now: float) -> bool:
    """Whether the authority can't sign another certificate that lasts, or can't be read."""
    authorities = _authorities(certificates.authority)
    if not authorities:
        return True
    return authorities[0].not_valid_after_utc - _moment(now) < _SERVER_VALID


def _authorities(bundle: bytes) -> list[x509.Certificate]:
    """None where there is something else in it."""
    try:
        return x509.load_pem_x509_certificates(bundle)
    except ValueError:
        return []


def _signed(
    names: tuple[str, ...], authorities: list[x509.Certificate], authority_key: ec.EllipticCurvePrivateKey, now: float
) -> Certificates:
    """By the first of the authorities."""
    key = ec.generate_private_key(ec.SECP256R1())
    # A common name has 64 characters at most, and clients read only the alternative names.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    certificate = (
        _builder(subject, authorities[0].subject, key.public_key(), now, _SERVER_VALID)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return Certificates(
        authority=b"".join(one.public_bytes(serialization.Encoding.PEM) for one in authorities),
        authority_key=_key_pem(authority_key),
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        private_key=_key_pem(key),
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: float, valid: datetime.timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(now) - _CLOCK_SKEW)
        .not_valid_after(_moment(now) + valid)
    )


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
