"""Certificates of a private broker: an authority of its own, the broker's certificate, and one for its clients."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.private_files import write_private

_VALID: Final = timedelta(days=397)
_SKEW: Final = timedelta(hours=1)  # of clocks that do not agree
_CONFIG: Final = """\
listeners.ssl.local = 127.0.0.1:{port}
ssl_options.cacertfile = {tls.ca_file}
ssl_options.certfile = {tls.cert_file}
ssl_options.keyfile = {tls.key_file}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
"""


@dataclass(frozen=True)
class PrivateTls:
    """PEM files below `root`, a directory of their own that nobody else can read.

    The broker's certificate is for localhost and 127.0.0.1. It takes clients without a certificate, but none with one that
    is not of this authority.
    """

    root: Path

    @classmethod
    def make(cls, root: Path) -> "PrivateTls":
        """Write a new authority and what it signs; the authority's key is forgotten."""
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        tls = cls(root.absolute())
        key = ec.generate_private_key(ec.SECP256R1())
        authority = _Authority(key, _authority_certificate(key))
        write_private(tls.ca_file, authority.certificate.public_bytes(Encoding.PEM).decode())
        for name, purpose, cert_file, key_file in (
            ("broker", ExtendedKeyUsageOID.SERVER_AUTH, tls.cert_file, tls.key_file),
            ("client", ExtendedKeyUsageOID.CLIENT_AUTH, tls.client_cert_file, tls.client_key_file),
        ):
            own = ec.generate_private_key(ec.SECP256R1())
            write_private(cert_file, authority.sign(own, name, purpose).public_bytes(Encoding.PEM).decode())
            write_private(key_file, own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
        return tls

    @property
    def ca_file(self) -> Path:
        """The authority's certificate."""
        return self.root / "ca.pem"

    @property
    def cert_file(self) -> Path:
        """The broker's certificate."""
        return self.root / "broker.pem"

    @property
    def key_file(self) -> Path:
        """The broker's key."""
        return self.root / "broker.key"

    @property
    def client_cert_file(self) -> Path:
        """A client's certificate."""
        return self.root / "client.pem"

    @property
    def client_key_file(self) -> Path:
        """A client's key."""
        return self.root / "client.key"

    def config(self, port: int) -> str:
        """The lines of rabbitmq.conf by which a node listens on this port of loopback."""
        return _CONFIG.format(port=port, tls=self)


@dataclass(frozen=True)
class _Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def sign(self, key: ec.EllipticCurvePrivateKey, name: str, purpose: x509.ObjectIdentifier) -> x509.Certificate:
        """A certificate of localhost for one purpose."""
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))])
        return (
            _begun(name, self.certificate.subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(names, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )


def _authority_certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _begun("novaflow private authority", None, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def _begun(name: str, issuer: x509.Name | None, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
