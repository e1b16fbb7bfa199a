"""SSH and X.509 keys, as Nova makes and reads them: pure, but for the dice of key generation.

Formats and the fingerprint's form are Nova's (nova/crypto.py): RSA 2048 with a private key in PEM, MD5 of the SSH key
blob, SHA1 of a certificate. Neither hash protects anything here: a fingerprint only tells keys apart.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from novaflow.errors import Invalid
from novaflow.key_kinds import X509

BITS: Final = 2048

_CERTIFICATE_LIFE: Final = timedelta(days=3650)
_USER_PRINCIPAL_NAME: Final = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
_UTF8_STRING: Final = 0x0C
_LONG_FORM: Final = 0x80  # from this length on, DER says first how many bytes the length takes


@dataclass(frozen=True)
class NewKey:
    """A key made here. The private half is told to its owner once and kept nowhere; no repr shows it."""

    public: str
    private: str
    private_fingerprint: str  # as EC2 computes it: SHA1 of the private key in PKCS#8

    def __repr__(self) -> str:
        return f"NewKey(public={self.public!r})"


def generate_ssh() -> NewKey:
    """A fresh RSA key in the formats of OpenSSH. Takes tens of milliseconds or more of one core."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return NewKey(
        public=f"{public.decode()} Generated-by-Nova",
        private=_pem(key, is_pkcs8=False),
        private_fingerprint=_of_private(key),
    )


def generate_x509(user_id: str, now: datetime) -> NewKey:
    """A fresh key with a certificate that Windows takes for a password-less log-in as `user_id`."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user_id[:64])])
    principal = f"{user_id}@localhost".encode()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + _CERTIFICATE_LIFE)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.OtherName(_USER_PRINCIPAL_NAME, _utf8(principal))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return NewKey(
        public=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        private=_pem(key, is_pkcs8=True),
        private_fingerprint=_of_private(key),
    )


def fingerprint(public: str, kind: str) -> str:
    """What tells this public key from others, in colon-separated hex; raises Invalid for what is no such key."""
    return _certificate_fingerprint(public) if kind == X509 else _ssh_fingerprint(public)


def imported_fingerprint(public: str) -> str:
    """What EC2 shows of a key that was brought along: MD5 of the public key in DER; of an Ed25519 key SHA-256, in base64.

    Raises Invalid. Source: Amazon EC2 User Guide (verify the fingerprint of your key pair).
    """
    try:
        key = serialization.load_ssh_public_key(public.encode())
        blob = base64.b64decode(public.split()[1])
    except (ValueError, IndexError, UnsupportedAlgorithm, binascii.Error):
        raise Invalid(reason="Keypair data is invalid: failed to generate fingerprint") from None
    if isinstance(key, ed25519.Ed25519PublicKey):
        return base64.b64encode(hashlib.sha256(blob).digest()).decode()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _colons(hashlib.md5(der, usedforsecurity=False).digest())


def _of_private(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    der = key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())
    return _colons(hashlib.sha1(der, usedforsecurity=False).digest())


def _ssh_fingerprint(public: str) -> str:
    try:
        serialization.load_ssh_public_key(public.encode())
        blob = base64.b64decode(public.split()[1])
    except (ValueError, IndexError, UnsupportedAlgorithm, binascii.Error):
        raise Invalid(reason="Keypair data is invalid: failed to generate fingerprint") from None
    return _colons(hashlib.md5(blob, usedforsecurity=False).digest())


def _certificate_fingerprint(public: str) -> str:
    try:
        certificate = x509.load_pem_x509_certificate(public.encode())
    except ValueError as error:
        reason = f"Keypair data is invalid: failed to generate X509 fingerprint. Error message: {error}"
        raise Invalid(reason=reason) from None
    return _colons(certificate.fingerprint(hashes.SHA1()))  # noqa: S303  # names a certificate, protects nothing


def _colons(digest: bytes) -> str:
    return digest.hex(":")


def _pem(key: rsa.RSAPrivateKey, *, is_pkcs8: bool) -> str:
    form = serialization.PrivateFormat.PKCS8 if is_pkcs8 else serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _utf8(text: bytes) -> bytes:
    """`text` as the ASN.1 UTF8String, in DER, that a principal name has to be."""
    size = len(text)
    digits = size.to_bytes((size.bit_length() + 7) // 8 or 1, "big")
    length = digits if size < _LONG_FORM else bytes([_LONG_FORM | len(digits)]) + digits
    return bytes([_UTF8_STRING]) + length + text
