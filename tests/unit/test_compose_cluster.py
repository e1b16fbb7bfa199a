"""compose/compose.cluster.yaml: two of every service, three brokers, and nothing that only one of two machines would have."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from novaflow.config import load
from rpc.address import Address

COMPOSE = Path(__file__).parents[2] / "compose"
ROLES = ("identity", "image", "api", "scheduler", "conductor", "compute")
BROKERS = ("rabbitmq-1", "rabbitmq-2", "rabbitmq-3")


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.cluster.yaml").read_text())
    return found


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    subprocess.run([COMPOSE / "prepare", "192.0.2.7", tmp_path], check=True, capture_output=True, timeout=30)
    return tmp_path / "secrets"


def named(entries: list[Any], key: str = "source") -> set[str]:
    return {entry if isinstance(entry, str) else entry[key] for entry in entries}


def test_there_are_two_of_every_service_each_with_a_machine_of_its_own(cluster: dict[str, Any]) -> None:
    services = cluster["services"]
    for role in ROLES:
        for number in (1, 2):
            service = services[f"{role}-{number}"]
            assert service["command"][0] == role
            assert f"state-{number}:/var/lib/novaflow" in service["volumes"], f"{role}-{number}"
            assert "images:/var/lib/novaflow/images" in service["volumes"], f"{role}-{number}"
            assert service["image"] == ("novaflow/compute" if role == "compute" else "novaflow/service")


def test_each_broker_and_each_compute_host_keeps_its_name_and_its_data(cluster: dict[str, Any]) -> None:
    for name in (*BROKERS, "compute-1", "compute-2"):
        assert cluster["services"][name]["hostname"] == name
    assert len({cluster["services"][name]["volumes"][0] for name in BROKERS}) == len(BROKERS)


def test_whatever_is_named_is_declared(cluster: dict[str, Any]) -> None:
    services = cluster["services"]
    for name, service in services.items():
        assert named(service.get("secrets", [])) <= set(cluster["secrets"]), name
        assert named(service.get("configs", [])) <= set(cluster["configs"]), name
        assert {entry.partition(":")[0] for entry in service.get("volumes", [])} <= set(cluster["volumes"]), name
        for other, need in service.get("depends_on", {}).items():
            assert other in services, f"{name} needs {other}"
            if need["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{name} waits for the health of {other}"


def test_the_brokers_name_each_other_as_they_are_called(cluster: dict[str, Any]) -> None:
    config = cluster["configs"]["cluster.conf"]["content"]

    assert tuple(re.findall(r"nodes\.\d = rabbit@(\S+)", config)) == BROKERS
    assert "cluster_partition_handling = pause_minority" in config


def servers(cluster: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Port listened on, service and its port, for every server behind the balancer."""
    port = ""
    for line in cluster["configs"]["haproxy.cfg"]["content"].splitlines():
        if found := re.fullmatch(r"\s+bind :(\d+)", line):
            port = found[1]
        elif found := re.fullmatch(r"\s+server (\S+) (\S+):(\d+)", line):
            assert found[1] == found[2]
            yield port, found[2], found[3]


def test_the_balancer_alone_is_published_and_leads_to_both_of_each_api(cluster: dict[str, Any]) -> None:
    """The metadata service is for the compute hosts: it is behind the balancer and not published."""
    published = {name: service["ports"] for name, service in cluster["services"].items() if service.get("ports")}
    behind = {"5000": "identity", "35357": "identity", "9292": "image", "8773": "api", "8774": "api"}

    assert list(published) == ["balancer"]
    assert {tuple(entry.split(":")) for entry in published["balancer"]} == {(port, port) for port in behind}
    assert sorted(servers(cluster)) == sorted(
        (port, f"{role}-{number}", port) for port, role in (*behind.items(), ("8775", "api")) for number in (1, 2)
    )


def test_prepare_makes_every_secret(cluster: dict[str, Any], secrets: Path) -> None:
    for secret in cluster["secrets"].values():
        assert (secrets.parent / secret["file"]).is_file()


def test_the_services_know_every_broker_and_keep_their_queues_on_all(secrets: Path) -> None:
    config = load(secrets / "cluster.toml")
    alone = load(secrets / "novaflow.toml")

    assert tuple(node.host for node in Address.parse(config.bus.url).nodes) == BROKERS
    assert (config.bus.queues, alone.bus.queues) == ("quorum", "")
    assert (config.compute.host, alone.compute.host) == ("", "compute")
    assert (config.identity, config.image, config.api) == (alone.identity, alone.image, alone.api)
    assert config.database == alone.database
