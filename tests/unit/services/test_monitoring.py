"""The listener of a process, and the file that tells where it is."""

import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from novaflow.config import Metrics
from novaflow.errors import Invalid
from services.monitoring import monitored
from services.targets import targets
from services.vitals import Phase, Vitals
from services.web import PortTaken


def ready() -> Vitals:
    """A process that serves."""
    return Vitals("api", phases={"api": Phase.READY})


async def get(state_dir: Path, path: str, **headers: str) -> tuple[aiohttp.ClientResponse, str]:
    """Ask the one listener that is told of below `state_dir`."""
    (target,) = targets(state_dir).values()
    async with aiohttp.ClientSession() as http, http.get(f"http://{target}{path}", headers=headers) as response:
        return response, await response.text()


async def test_metrics_and_health_are_served_where_the_file_says(tmp_path: Path) -> None:
    async with monitored(Metrics(), ready(), tmp_path):
        metrics, text = await get(tmp_path, "/metrics")
        health, told = await get(tmp_path, "/healthz")

    assert (metrics.status, metrics.content_type) == (200, "text/plain")
    assert 'novaflow_service_ready{role="api"} 1.0' in text.splitlines()
    assert (health.status, json.loads(told)["status"]) == (200, "ok")


async def test_a_process_that_is_not_well_answers_503(tmp_path: Path) -> None:
    vitals = ready()
    async with monitored(Metrics(), vitals, tmp_path):
        vitals.phases["api"] = Phase.DRAINING
        health, told = await get(tmp_path, "/healthz")

    assert health.status == 503
    assert json.loads(told)["reasons"] == ["api is draining"]


async def test_openmetrics_is_served_to_those_who_ask(tmp_path: Path) -> None:
    async with monitored(Metrics(), ready(), tmp_path):
        response, text = await get(tmp_path, "/metrics", Accept="application/openmetrics-text;version=1.0.0,*/*;q=0.1")

    assert response.content_type == "application/openmetrics-text"
    assert text.endswith("# EOF\n")


async def test_the_answer_is_packed_for_those_who_can_unpack(tmp_path: Path) -> None:
    async with monitored(Metrics(), ready(), tmp_path):
        response, text = await get(tmp_path, "/metrics", **{"Accept-Encoding": "gzip"})

    assert response.headers["Content-Encoding"] == "gzip"
    assert "novaflow_build_info" in text


async def test_nothing_else_is_served(tmp_path: Path) -> None:
    async with monitored(Metrics(), ready(), tmp_path):
        assert (await get(tmp_path, "/"))[0].status == 404


async def test_the_file_is_one_for_prometheus_and_nobody_elses_business(tmp_path: Path) -> None:
    async with monitored(Metrics(), ready(), tmp_path):
        (path,) = (tmp_path / "metrics").iterdir()
        (group,) = json.loads(path.read_text())
        modes = [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent)]

    assert path.name == f"api-{os.getpid()}.json"
    assert group["targets"][0].startswith("127.0.0.1:")
    assert group["labels"]["process"] == "api"
    assert modes == [0o600, 0o700]
    assert list((tmp_path / "metrics").iterdir()) == []


async def test_a_listener_for_everybody_is_told_by_the_machines_name(tmp_path: Path) -> None:
    async with monitored(Metrics(host="0.0.0.0"), ready(), tmp_path):
        (target,) = targets(tmp_path).values()

    assert target.startswith(f"{socket.gethostname()}:")


async def test_a_fixed_port_is_taken(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async with monitored(Metrics(port=port), ready(), tmp_path):
        assert targets(tmp_path) == {os.getpid(): f"127.0.0.1:{port}"}


async def test_a_port_that_is_in_use_is_named_with_its_key(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(PortTaken, match=rf"metrics\.port: port {port} on 127\.0\.0\.1 is in use"):
            async with monitored(Metrics(port=port), ready(), tmp_path):
                pass


async def test_another_ports_trouble_is_not_told_as_ours(tmp_path: Path) -> None:
    with pytest.raises(PortTaken) as told:
        async with monitored(Metrics(), ready(), tmp_path):
            raise PortTaken(98, "port 8774 on 127.0.0.1 is in use by another program")

    assert "metrics" not in str(told.value)


@pytest.mark.parametrize("port", [-1, 65536])
async def test_a_port_that_cannot_be_is_refused(tmp_path: Path, port: int) -> None:
    with pytest.raises(Invalid, match=rf"metrics\.port is {port}"):
        async with monitored(Metrics(port=port), ready(), tmp_path):
            pass


async def test_whoever_wants_no_listener_has_none(tmp_path: Path) -> None:
    async with monitored(Metrics(enabled=False), ready(), tmp_path):
        assert targets(tmp_path) == {}


async def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    left(tmp_path, "gone", pid=2**22 + 1, machine=socket.gethostname())
    left(tmp_path, "elsewhere", pid=2**22 + 1, machine="another-machine")
    (tmp_path / "metrics" / "notes.json").write_text("not one of ours")

    async with monitored(Metrics(), ready(), tmp_path):
        names = sorted(path.name for path in (tmp_path / "metrics").iterdir())

    assert names == sorted([f"api-{os.getpid()}.json", "elsewhere.json", "notes.json"])


def left(state_dir: Path, name: str, *, pid: int, machine: str) -> None:
    labels: dict[str, Any] = {"process": name, "__meta_novaflow_pid": str(pid), "__meta_novaflow_machine": machine}
    (state_dir / "metrics").mkdir(exist_ok=True)
    (state_dir / "metrics" / f"{name}.json").write_text(json.dumps([{"targets": ["127.0.0.1:1"], "labels": labels}]))
