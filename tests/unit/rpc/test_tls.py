import ssl
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from rpc.errors import Misconfigured
from rpc.tls import Tls, refusal
from services.private.tls import PrivateTls


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> PrivateTls:
    return PrivateTls.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> PrivateTls:
    return PrivateTls.make(tmp_path_factory.mktemp("others"))


def test_only_the_named_authority_is_trusted_and_names_are_checked(files: PrivateTls) -> None:
    context = Tls(ca_file=files.ca_file).context()

    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert [ca["subject"] for ca in context.get_ca_certs()] == [((("commonName", "novaflow private authority"),),)]


def test_without_a_file_the_machines_authorities_are_trusted() -> None:
    context = Tls().context()

    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


def test_any_broker_is_believed_when_that_is_asked_for_by_name() -> None:
    context = Tls(verify=False).context()

    assert context.verify_mode == ssl.CERT_NONE
    assert not context.check_hostname


def test_a_key_may_be_in_the_certificates_file(files: PrivateTls, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(files.client_cert_file.read_bytes() + files.client_key_file.read_bytes())

    assert Tls(cert_file=both).context().cert_store_stats()


def test_a_key_without_a_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="belongs to no certificate") as caught:
        Tls(key_file=tmp_path / "key.pem")

    assert caught.value.field == "key_file"


@pytest.mark.parametrize("field", ["ca_file", "cert_file", "key_file"])
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path / "none", "cannot be read"),
        (lambda path: path, "cannot be read: Is a directory"),
        (lambda path: _written(path / "text.pem", "s3cret"), "holds no PEM"),
        (lambda path: _written(path / "empty.pem", ""), "holds no PEM"),
    ],
)
def test_a_file_of_no_use_is_named(
    files: PrivateTls, tmp_path: Path, field: str, spoil: Callable[[Path], Path], told: str
) -> None:
    whole = Tls(ca_file=files.ca_file, cert_file=files.client_cert_file, key_file=files.client_key_file)
    path = spoil(tmp_path)

    with pytest.raises(Misconfigured, match=f"{path} {told}") as caught:
        replace(whole, **{field: path}).context()  # type: ignore[arg-type]  # mypy cannot see which field

    assert caught.value.field == field
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_a_certificate_without_its_key_is_refused(files: PrivateTls) -> None:
    with pytest.raises(Misconfigured, match="holds no PEM private key") as caught:
        Tls(cert_file=files.client_cert_file).context()

    assert caught.value.field == "cert_file"


def test_another_certificates_key_is_refused(files: PrivateTls, others: PrivateTls) -> None:
    with pytest.raises(Misconfigured, match="is not that of") as caught:
        Tls(cert_file=files.client_cert_file, key_file=others.client_key_file).context()

    assert caught.value.field == "key_file"


def test_an_encrypted_key_is_refused_without_asking_at_the_terminal(files: PrivateTls, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(files.client_key_file.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"s3cret"),
        )
    )

    with pytest.raises(Misconfigured, match="is encrypted"):
        Tls(cert_file=files.client_cert_file, key_file=locked).context()


def test_files_are_read_anew_for_every_connection(files: PrivateTls, others: PrivateTls, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(files.ca_file.read_bytes())
    tls = Tls(ca_file=ca_file)
    before = tls.context().get_ca_certs()

    ca_file.write_bytes(others.ca_file.read_bytes())

    assert tls.context().get_ca_certs() != before


def test_an_error_that_is_not_of_tls_is_no_refusal() -> None:
    assert refusal(ConnectionResetError("reset")) == ""


def test_errors_that_cause_each_other_are_looked_through_once() -> None:
    first, second = OSError("one"), OSError("two")
    first.__cause__, second.__cause__ = second, first

    assert refusal(first) == ""


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
