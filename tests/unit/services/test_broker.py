from pathlib import Path

import pytest

from novaflow.config import Bus
from novaflow.errors import Invalid
from rpc.address import Address, Node, Tls
from services.broker import broker_address, with_whole_paths
from services.private.tls import PrivateTls


def test_a_broker_becomes_an_address(tmp_path: Path) -> None:
    files = PrivateTls.make(tmp_path / "tls")
    secret = tmp_path / "bus.json"
    secret.touch(mode=0o600)
    secret.write_text('{"user": "nova", "password": "s3cret"}')
    bus = Bus(
        url="amqps://h1,h2:7/cells",
        credentials_file=str(secret),
        tls_ca_file=str(files.ca_file),
        tls_cert_file=str(files.client_cert_file),
        tls_key_file=str(files.client_key_file),
    )

    assert broker_address(bus) == Address(
        nodes=(Node("h1", 5671), Node("h2", 7)),
        user="nova",
        password="s3cret",
        vhost="cells",
        tls=Tls(ca_file=files.ca_file, cert_file=files.client_cert_file, key_file=files.client_key_file),
        credentials_file=secret,
    )


def test_another_buss_url_stays_as_it_is() -> None:
    assert broker_address(Bus(url="memory://")) == "memory://"


@pytest.mark.parametrize(
    ("bus", "told"),
    [
        (Bus(url="amqp://u:s3cret@h:x/"), r"bus\.url: a port"),
        (Bus(url="amqps://h", credentials_file="/none/c.json"), r"bus\.credentials_file: /none/c\.json cannot be read"),
        (Bus(url="amqps://h", tls_ca_file="/none/ca.pem"), r"bus\.tls_ca_file: /none/ca\.pem cannot be read"),
        (Bus(url="amqps://h", tls_cert_file="/none/c.pem"), r"bus\.tls_cert_file: /none/c\.pem cannot be read"),
        (Bus(url="amqps://h", tls_key_file="/none/c.key"), r"bus\.tls_key_file: the key /none/c\.key belongs to no"),
        (Bus(url="amqp://u:s3cret@h", tls_verify=False), r"bus\.url: TLS is asked for"),
        (Bus(url="memory://", credentials_file="c.json"), r"bus\.credentials_file: it is for an amqp"),
        (Bus(url="memory://", tls_ca_file="ca.pem"), r"bus\.tls_ca_file: it is for an amqp"),
        (Bus(url="memory://", tls_verify=False), r"bus\.tls_verify: it is for an amqps"),
    ],
)
def test_what_cannot_be_used_is_refused_by_the_name_of_its_key(bus: Bus, told: str) -> None:
    with pytest.raises(Invalid, match=told) as caught:
        broker_address(bus)

    assert "s3cret" not in str(caught.value)


def test_the_files_are_found_from_another_directory_too() -> None:
    bus = Bus(url="amqps://h", credentials_file="c.json", tls_ca_file="/ca.pem")

    assert with_whole_paths(bus) == Bus(
        url="amqps://h", credentials_file=str(Path.cwd() / "c.json"), tls_ca_file="/ca.pem"
    )
