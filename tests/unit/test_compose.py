"""compose/ cannot be run where the tests run, so what can be known of it is checked: its form, its names, its secrets."""

import asyncio
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from jsonschema import Draft202012Validator

from novaflow.config import Metrics, load
from services.cli import cli
from services.monitoring import monitored
from services.targets import targets
from services.vitals import Phase, Vitals

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose"
SCHEMA = ROOT / "tests" / "data" / "compose-spec" / "compose-spec.json"
FILES = ("compose.yaml", "compose.kvm.yaml", "compose.cluster.yaml")
ROLES = ("identity", "image", "api", "scheduler", "conductor", "compute")


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((COMPOSE / name).read_text())
    return found


@pytest.fixture(scope="module")
def cloud() -> dict[str, Any]:
    return read("compose.yaml")


@pytest.mark.parametrize("name", FILES)
def test_the_file_is_what_the_compose_specification_says(name: str) -> None:
    validator = Draft202012Validator(json.loads(SCHEMA.read_text()))

    assert [error.message for error in validator.iter_errors(read(name))] == []


def test_the_schema_refuses_what_is_wrong(cloud: dict[str, Any]) -> None:
    broken = {**cloud, "services": {"api": {"imagge": "x"}}}

    assert not Draft202012Validator(json.loads(SCHEMA.read_text())).is_valid(broken)


def test_every_role_has_its_container_and_a_command_that_exists(cloud: dict[str, Any]) -> None:
    for role in ROLES:
        assert cloud["services"][role]["command"][0] == role
    for name, service in cloud["services"].items():
        if "build" in service:
            assert parsed(service["command"]), name


def parsed(arguments: list[str]) -> bool:
    """Whether the command line takes these arguments; click raises for what it does not know."""
    command: click.Command = cli
    context = click.Context(command, info_name="novaflow")
    while isinstance(command, click.Group):
        name, found, arguments = command.resolve_command(context, arguments)
        assert found is not None, name
        command = found
        context = click.Context(command, info_name=name, parent=context)
    command.parse_args(context, list(arguments))
    return True


def test_whatever_is_named_is_declared(cloud: dict[str, Any]) -> None:
    services = cloud["services"]
    for name, service in services.items():
        secrets = [entry if isinstance(entry, str) else entry["source"] for entry in service.get("secrets", [])]
        volumes = [entry.partition(":")[0] for entry in service.get("volumes", [])]
        assert set(secrets) <= set(cloud["secrets"]), name
        assert set(volumes) <= set(cloud["volumes"]), name
        assert set(service.get("depends_on", {})) <= set(services), name
        for other, need in service.get("depends_on", {}).items():
            if need["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{name} waits for the health of {other}"


def test_what_can_be_asked_for_its_health_is(cloud: dict[str, Any]) -> None:
    asked = {name for name, service in cloud["services"].items() if "healthcheck" in service}

    assert asked == {"rabbitmq", "mariadb", *ROLES}


def test_every_role_is_asked_where_it_listens(cloud: dict[str, Any]) -> None:
    for role in ROLES:
        service = cloud["services"][role]
        port = service["environment"]["NOVAFLOW_METRICS_PORT"]
        (script,) = [word for word in service["healthcheck"]["test"] if "import" in word]
        assert f"'127.0.0.1', {port}," in script, role
        assert "'/healthz'" in script, role


@pytest.mark.parametrize(("phase", "status"), [(Phase.READY, 0), (Phase.STARTING, 1)])
async def test_the_question_tells_a_well_process_from_others(
    tmp_path: Path, cloud: dict[str, Any], phase: Phase, status: int
) -> None:
    *_, script = cloud["services"]["conductor"]["healthcheck"]["test"]
    async with monitored(Metrics(), Vitals("conductor", phases={"conductor": phase}), tmp_path):
        (target,) = targets(tmp_path).values()
        command = (sys.executable, "-c", script.replace("9464", target.rpartition(":")[2]))
        process = await asyncio.create_subprocess_exec(*command)

        assert await process.wait() == status


def test_only_the_apis_are_published(cloud: dict[str, Any]) -> None:
    published = {name for name, service in cloud["services"].items() if service.get("ports")}

    assert published == {"identity", "image", "api"}


def test_what_has_to_outlive_a_container_is_in_a_volume(cloud: dict[str, Any]) -> None:
    for name in ("rabbitmq", "mariadb", *ROLES):
        assert cloud["services"][name]["volumes"], name


def test_no_secret_is_in_the_files() -> None:
    for name in FILES:
        text = (COMPOSE / name).read_text()
        assert "amqp://" not in text
        assert "mysql+asyncmy://" not in text
    environments = [service.get("environment", {}) for service in read("compose.yaml")["services"].values()]
    passwords = [key for environment in environments for key in environment if "PASSWORD" in key]
    assert passwords
    assert all(key.endswith("_FILE") for key in passwords)


def test_every_stage_that_is_built_is_in_the_dockerfile(cloud: dict[str, Any]) -> None:
    stages = [line.split()[-1] for line in (COMPOSE / "Dockerfile").read_text().splitlines() if line.startswith("FROM")]

    built = {service["build"]["target"] for service in cloud["services"].values() if "build" in service}

    assert built <= set(stages)


def test_the_dockerfile_copies_what_is_there_and_what_is_sent_to_the_builder() -> None:
    lines = (COMPOSE / "Dockerfile").read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY") and "--from" not in line for word in line.split()[1:-1]}
    sent = {line[1:] for line in (COMPOSE / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}

    assert copied == sent
    assert [name for name in copied if not (ROOT / name).exists()] == []


class TestPrepare:
    """The script that makes the secrets."""

    def prepare(self, directory: Path, address: str = "192.0.2.7") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMPOSE / "prepare", address, directory], capture_output=True, text=True, timeout=30, check=False
        )

    def test_it_makes_a_configuration_that_loads(self, tmp_path: Path) -> None:
        assert self.prepare(tmp_path).returncode == 0

        config = load(tmp_path / "secrets" / "novaflow.toml")

        assert config.api_url == "http://192.0.2.7:8774"
        assert {config.identity.host, config.image.host, config.api.host, config.metrics.host} == {"0.0.0.0"}
        assert config.bus.url.endswith("@rabbitmq:5672/")
        assert config.database.url.endswith("@mariadb:3306/novaflow")
        assert config.identity.admin_password

    def test_broker_and_database_are_told_the_passwords_that_the_services_use(self, tmp_path: Path) -> None:
        self.prepare(tmp_path)
        secrets = tmp_path / "secrets"

        config = load(secrets / "novaflow.toml")

        assert (
            f"default_pass = {config.bus.url.split(':')[2].split('@')[0]}\n" in (secrets / "rabbitmq.conf").read_text()
        )
        assert f":{(secrets / 'mariadb-password').read_text()}@" in config.database.url

    def test_every_password_is_another_one_each_time(self, tmp_path: Path) -> None:
        self.prepare(tmp_path / "a")
        self.prepare(tmp_path / "b")

        first, second = (load(tmp_path / name / "secrets" / "novaflow.toml") for name in "ab")

        assert len({first.identity.admin_password, second.identity.admin_password, first.bus.url, second.bus.url}) == 4

    def test_every_secret_that_compose_reads_is_made_and_others_cannot_reach_it(
        self, tmp_path: Path, cloud: dict[str, Any]
    ) -> None:
        self.prepare(tmp_path)

        for secret in cloud["secrets"].values():
            assert (tmp_path / secret["file"]).is_file()
        assert stat.S_IMODE(os.stat(tmp_path / "secrets").st_mode) == 0o700

    def test_a_second_run_keeps_what_is_there(self, tmp_path: Path) -> None:
        self.prepare(tmp_path)
        before = (tmp_path / "secrets" / "novaflow.toml").read_text()

        again = self.prepare(tmp_path, "192.0.2.8")

        assert again.returncode == 0
        assert (tmp_path / "secrets" / "novaflow.toml").read_text() == before

    @pytest.mark.parametrize("address", ["127.0.0.1", "localhost", 'x"y', "a b"])
    def test_an_address_that_cannot_serve_is_refused(self, tmp_path: Path, address: str) -> None:
        refused = self.prepare(tmp_path, address)

        assert refused.returncode == 1
        assert "address" in refused.stderr
        assert not (tmp_path / "secrets").exists()
