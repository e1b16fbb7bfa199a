"""Who holds a state directory, and what may be asked for together."""

from pathlib import Path

import pytest

from novaflow.config import Config
from novaflow.errors import Conflict, Invalid
from services import settings
from services.cloud import ORDER, UP, cloud, is_running, metrics_ports, owner, owning


def test_a_state_directory_has_one_cloud(tmp_path: Path) -> None:
    with owning(tmp_path), pytest.raises(Conflict, match=r"a cloud runs in .* already"), owning(tmp_path):
        pass


def test_it_is_told_whether_a_cloud_runs(tmp_path: Path) -> None:
    assert not is_running(tmp_path)

    with owning(tmp_path):
        assert is_running(tmp_path)
        assert owner(tmp_path) > 0

    assert not is_running(tmp_path)


def test_what_a_killed_cloud_left_is_not_taken_for_the_next_ones(tmp_path: Path) -> None:
    (tmp_path / UP).write_text('{"pid": 1}')

    with owning(tmp_path):
        assert not (tmp_path / UP).exists()


async def test_processes_need_a_broker(tmp_path: Path) -> None:
    config = settings.with_flags(Config(), state_dir=tmp_path)

    with pytest.raises(Invalid, match="add --bus private"):
        async with cloud(config, processes=True, on_notice=print):
            pass

    assert list(tmp_path.iterdir()) == []


async def test_processes_on_one_sqlite_file_are_told_what_is_faster(tmp_path: Path) -> None:
    config = settings.with_flags(Config(), state_dir=tmp_path, bus="amqp://127.0.0.1:1/")
    heard: list[str] = []

    def hear(notice: str) -> None:
        heard.append(notice)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        async with cloud(config, processes=True, on_notice=hear):
            pass

    assert "--db private is faster" in heard[0]


def test_every_process_gets_a_port_of_its_own_for_its_metrics() -> None:
    assert metrics_ports(settings.with_flags(Config(), metrics_port=9464)) == [9464, 9465, 9466, 9467, 9468, 9469]
    assert metrics_ports(Config()) == [0] * len(ORDER)


@pytest.mark.parametrize("port", [-1, 65531, 70000])
def test_a_port_that_leaves_too_few_for_the_others_is_refused(port: int) -> None:
    with pytest.raises(Invalid, match=rf"metrics\.port is {port}"):
        metrics_ports(settings.with_flags(Config(), metrics_port=port))
