"""Free ports: different ones, that can be listened on, and that no outgoing connection is given meanwhile."""

import errno
import socket
from pathlib import Path

import pytest

from services import ports

LOOPBACK = "127.0.0.1"


def test_free_ports_are_different_and_can_be_listened_on() -> None:
    found = ports.free_ports(LOOPBACK, 50)

    assert len({*found}) == 50
    for port in found:
        with socket.create_server((LOOPBACK, port)):
            pass


@pytest.mark.parametrize("told", ["12000\t60999\n", "", "none"])
def test_they_are_none_of_those_that_the_kernel_gives_away(
    told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "range").write_text(told)
    monkeypatch.setattr(ports, "_RANGE", tmp_path / "range")

    found = ports.free_ports(LOOPBACK, 20)

    assert all(10_000 <= port < (12_000 if told[:1] == "1" else 32_768) for port in found)


def test_a_port_that_is_listened_on_is_not_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_RANGE", tmp_path / "range")
    (tmp_path / "range").write_text("10002 60999")  # there are two to choose from

    (first,) = ports.free_ports(LOOPBACK, 1)
    with socket.create_server((LOOPBACK, first)):
        second = ports.free_ports(LOOPBACK, 2)

    assert first not in second


def test_where_the_kernel_gives_away_all_of_them_it_chooses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_RANGE", tmp_path / "range")
    (tmp_path / "range").write_text("1024 65000")

    assert len({*ports.free_ports(LOOPBACK, 3)}) == 3


def test_an_address_that_is_not_ours_is_an_error() -> None:
    with pytest.raises(OSError) as refused:  # noqa: PT011
        ports.free_ports("192.0.2.1", 1)

    assert refused.value.errno == errno.EADDRNOTAVAIL
