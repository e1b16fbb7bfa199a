"""Keys: made in the formats clients read, told apart by the fingerprints other tools show."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from novaflow.errors import Invalid
from novaflow.key_kinds import SSH, X509
from novaflow.ssh_keys import NewKey, fingerprint, generate_ssh, generate_x509

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN/skqxp/9QQtPmwtAPo4la6LsQrO6Iw+jhjhFIkoF5S demo@example"
# ssh-keygen -l -E md5 says this of it
FINGERPRINT = "d5:94:cc:77:c1:c5:69:80:d9:9d:6a:0c:11:70:c4:52"


@pytest.fixture(scope="module")
def ssh_key() -> NewKey:
    return generate_ssh()


@pytest.fixture(scope="module")
def windows_key() -> NewKey:
    return generate_x509("alice", NOW)


def test_a_fingerprint_is_what_ssh_keygen_shows() -> None:
    assert fingerprint(PUBLIC, SSH) == FINGERPRINT


@pytest.mark.parametrize("text", [PUBLIC + "\n", PUBLIC.rsplit(" ", 1)[0], PUBLIC.rsplit(" ", 1)[0] + "\n"])
def test_neither_comment_nor_line_end_changes_a_fingerprint(text: str) -> None:
    assert fingerprint(text, SSH) == FINGERPRINT


@pytest.mark.parametrize(
    "text", ["", " ", "nonsense", "ssh-rsa", "ssh-rsa AAAA", "ssh-ed25519 !!!", PUBLIC[:60], "ssh-né x", "\x00 \x00"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"^Keypair data is invalid: failed to generate fingerprint$"):
        fingerprint(text, SSH)


def test_a_private_key_does_not_pass_for_a_public_one(ssh_key: NewKey) -> None:
    with pytest.raises(Invalid):
        fingerprint(ssh_key.private, SSH)


def test_a_new_ssh_key_is_rsa_in_the_formats_of_openssh(ssh_key: NewKey) -> None:
    private = serialization.load_pem_private_key(ssh_key.private.encode(), password=None)

    assert ssh_key.private.startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert isinstance(private, rsa.RSAPrivateKey)
    assert private.key_size == 2048
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    assert ssh_key.public == f"{public.decode()} Generated-by-Nova"


def test_a_private_key_is_in_no_repr(ssh_key: NewKey) -> None:
    assert "PRIVATE" not in repr(ssh_key)


def test_a_new_windows_key_is_a_certificate_that_names_its_user(windows_key: NewKey) -> None:
    certificate = x509.load_pem_x509_certificate(windows_key.public.encode())

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert certificate.subject.rfc4514_string() == "CN=alice"
    assert [name.value for name in names if isinstance(name, x509.OtherName)] == [b"\x0c\x0falice@localhost"]
    assert certificate.not_valid_before_utc == NOW


def test_a_certificate_is_told_by_its_sha1(windows_key: NewKey) -> None:
    assert len(fingerprint(windows_key.public, X509).split(":")) == 20


def test_a_certificate_for_a_long_user_name_can_be_read_again() -> None:
    made = generate_x509("u" * 200, NOW)

    certificate = x509.load_pem_x509_certificate(made.public.encode())

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value[-10:] for name in names if isinstance(name, x509.OtherName)] == [b"@localhost"]


def test_an_ssh_key_is_no_certificate() -> None:
    with pytest.raises(Invalid, match=r"^Keypair data is invalid: failed to generate X509 fingerprint"):
        fingerprint(PUBLIC, X509)
