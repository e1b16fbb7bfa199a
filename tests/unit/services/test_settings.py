"""From flags and files to one configuration."""

import stat
from pathlib import Path

import pytest

from novaflow.config import Config
from novaflow.errors import Invalid
from rpc.settings import ProcedureSettings
from services import settings
from services.bus_settings import bus_settings


def test_a_flag_is_stronger_than_the_file(tmp_path: Path) -> None:
    file = tmp_path / "novaflow.toml"
    file.write_text('[bus]\nurl = "amqp://file/"\nprefetch = 7\n[compute]\nvirt = "fake"\nhosts = 3\n')

    config = settings.with_flags(settings.read(file), bus="memory://", hosts=2)

    assert (config.bus.url, config.bus.prefetch) == ("memory://", 7)
    assert (config.compute.virt, config.compute.hosts) == ("fake", 2)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("mysql://nova:x@db/nova", "mysql+asyncmy://nova:x@db/nova"),
        ("mariadb://db/nova", "mysql+asyncmy://db/nova"),
        ("sqlite:///f", "sqlite+aiosqlite:///f"),
        ("mysql+asyncmy://db/nova", "mysql+asyncmy://db/nova"),
        ("private", "private"),
    ],
)
def test_a_database_url_gets_the_driver_in_use(given: str, meant: str) -> None:
    assert settings.async_url(given) == meant


def test_a_port_base_gives_ports_in_a_row() -> None:
    config = settings.with_flags(Config(), port_base=6000)

    assert _ports(config) == (6000, 6001, 6002, 6003, 6004, 6005)


def test_port_base_zero_gives_different_ports() -> None:
    config = settings.with_flags(Config(), port_base=0)

    assert len(set(_ports(config))) == settings.PORTS
    assert 0 not in _ports(config)


def _ports(config: Config) -> tuple[int, ...]:
    identity, api = config.identity, config.api
    return (identity.port, identity.admin_port, config.image.port, api.port, api.ec2_port, api.metadata_port)


def test_the_port_of_the_metrics_may_be_said_by_a_flag() -> None:
    assert settings.with_flags(Config(), metrics_port=9464).metrics.port == 9464
    assert settings.with_flags(Config()).metrics.port == Config().metrics.port


@pytest.mark.parametrize(
    ("text", "key"),
    [("[bus]\nprefech = 1\n", "prefech"), ('[api]\nport = "x"\n', "$.api.port"), ("[bus\n", "novaflow.toml")],
)
def test_a_mistake_is_told_with_its_file_and_key(tmp_path: Path, text: str, key: str) -> None:
    file = tmp_path / "novaflow.toml"
    file.write_text(text)

    with pytest.raises(Invalid) as refused:
        settings.read(file)

    assert str(file) in str(refused.value)
    assert key in str(refused.value)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ('[bus.procedures."compute.stop_instanse"]', "is compute.stop_instance meant?"),
        ('[bus.procedures."stop_instance"]', "is compute.stop_instance meant?"),
        ('[bus.procedures."x"]', "there are scheduler.build_instances, "),
        ('[bus]\nqueues = "transient"', "bus: delivery is durable, and a broker forgets"),
        (
            '[bus]\ndelivery = "icehouse"\n[bus.procedures."compute.stop_instance"]\ndelivery = "durable"',
            'procedures."compute.stop_instance" is durable, and a broker forgets',
        ),
        ('[bus]\ndelivery = "x"', "delivery is 'x'"),
    ],
)
def test_what_the_bus_cannot_do_is_told_when_the_file_is_read(tmp_path: Path, table: str, complaint: str) -> None:
    file = tmp_path / "novaflow.toml"
    file.write_text(f"{table}\n")

    with pytest.raises(Invalid) as refused:
        settings.read(file)

    assert str(file) in str(refused.value)
    assert complaint in str(refused.value)


def test_what_differs_for_one_procedure_reaches_the_bus_and_the_processes_of_the_cloud(tmp_path: Path) -> None:
    file = tmp_path / "novaflow.toml"
    file.write_text('[bus.procedures."compute.stop_instance"]\nretries = 7\nretry_delay = 0\nconcurrency = 3\n')
    config = settings.with_flags(settings.read(file), state_dir=tmp_path / "state")

    settings.save(config)
    procedures = bus_settings(settings.running_config(tmp_path / "state").bus).procedures

    assert procedures == {"compute.stop_instance": ProcedureSettings(retries=7, retry_delay=0.0, concurrency=3)}


def test_a_missing_file_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"no configuration file .*absent\.toml"):
        settings.read(tmp_path / "absent.toml")


def test_what_is_saved_is_read_again_and_nobody_elses_business(tmp_path: Path) -> None:
    config = settings.with_flags(Config(), state_dir=tmp_path / "state", bus="amqp://nova:secret@broker/")

    path = settings.save(config)

    assert settings.running_config(tmp_path / "state") == config
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_directory_without_a_cloud_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="novaflow up --state-dir"):
        settings.running_config(tmp_path)
