import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from novaflow.config import Compute
from novaflow.errors import GuestFailed, Invalid
from novaflow.virt import choose
from novaflow.virt.fake import FakeDriver
from tests.support.libvirt import need_libvirt


async def test_the_fake_driver_is_chosen_by_name_only(tmp_path: Path) -> None:
    settings = Compute(virt="fake", fake_vcpus=3, fake_ram_mb=4, fake_disk_gb=5)

    driver = choose.open_driver(settings, host="host", directory=tmp_path)
    resources = await driver.resources()

    assert isinstance(driver, FakeDriver)
    assert (resources.vcpus, resources.ram_mb, resources.disk_gb) == (3, 4, 5)
    assert resources.hypervisor_hostname == "host"


async def test_a_fake_host_takes_the_time_it_is_told_to_take(tmp_path: Path) -> None:
    driver = choose.open_driver(Compute(virt="fake", fake_delay=3600.0), host="host", directory=tmp_path)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(driver.destroy("a server"), 0.01)


def test_auto_without_libvirt_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(GuestFailed) as failed:
        choose.open_driver(Compute(virt="auto"), host="host", directory=tmp_path)

    assert failed.value.operation == "open"
    assert choose.INSTALL_QEMU in failed.value.reason


def test_auto_is_the_embedded_libvirt(tmp_path: Path) -> None:
    need_libvirt()

    driver = choose.open_driver(Compute(virt="auto"), host="host", directory=tmp_path)

    assert type(driver).__name__ == "LibvirtDriver"


@pytest.mark.parametrize(
    ("settings", "host", "named"),
    [
        (Compute(virt="vmware"), "host", "compute.virt"),
        (Compute(virt="xen:///"), "host", "compute.virt"),
        (Compute(virt="fake"), "../host", "host"),
        (Compute(virt="fake"), "", "host"),
        (Compute(virt="test:///default", virt_type="xen"), "host", "compute.virt_type"),
    ],
)
def test_what_nobody_knows_is_refused_by_name(tmp_path: Path, settings: Compute, host: str, named: str) -> None:
    with pytest.raises(Invalid, match=named):
        choose.open_driver(settings, host=host, directory=tmp_path)


def test_the_binding_is_loaded_by_its_users_only() -> None:
    code = "import sys, novaflow.virt.choose, novaflow.virt.doctor, novaflow.virt.guest; sys.exit('libvirt' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
