"""What can be seen of a guest from outside, and said to it."""

import socket
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from novaflow.errors import GuestFailed
from novaflow.models import Flavor
from novaflow.states import Power
from novaflow.virt.driver import Driver
from novaflow.virt.iso9660 import build_image
from tests.support.guests import ADDRESS
from tests.support.hypervisors import Hypervisor
from tests.support.pictures import png_size

PASSWORD = "s3cret-of-the-guest"
DRIVE = build_image("config-2", {"a": b"b"}, datetime(2026, 1, 1, tzinfo=UTC))
Operation = Callable[[Driver, str], Awaitable[object]]

OPERATIONS: dict[str, Operation] = {
    "console": lambda driver, server_id: driver.console(server_id),
    "screenshot": lambda driver, server_id: driver.screenshot(server_id),
    "diagnostics": lambda driver, server_id: driver.diagnostics(server_id),
    "set_password": lambda driver, server_id: driver.set_password(server_id, "root", PASSWORD),
    "inject_nmi": lambda driver, server_id: driver.inject_nmi(server_id),
}


@pytest.mark.parametrize("state", ["never was", "off", "saved"])
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_nothing_is_seen_of_a_guest_that_is_off(hypervisor: Hypervisor, operation: str, state: str) -> None:
    server_id = str(uuid.uuid4())
    if state != "never was":
        await hypervisor.running(server_id=server_id)
        await (hypervisor.driver.suspend(server_id) if state == "saved" else hypervisor.driver.power_off(server_id, 0))

    with pytest.raises(GuestFailed) as failed:
        await OPERATIONS[operation](hypervisor.driver, server_id)

    assert (failed.value.operation, failed.value.server_id) == (operation, server_id)
    assert PASSWORD not in str(failed.value)


async def test_a_picture_of_the_screen_is_a_png(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()

    width, height = png_size(await hypervisor.driver.screenshot(guest.server_id))

    assert width > 0
    assert height > 0


async def test_a_paused_guest_still_shows_its_screen(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()
    await hypervisor.driver.pause(guest.server_id)

    png_size(await hypervisor.driver.screenshot(guest.server_id))

    assert await hypervisor.driver.power(guest.server_id) == Power.PAUSED


async def test_where_a_screen_is_served_somebody_answers_and_otherwise_the_reason_is_told(
    hypervisor: Hypervisor,
) -> None:
    guest = await hypervisor.running()

    if hypervisor.kind == "fake":
        with pytest.raises(GuestFailed, match="a fake guest has no screen server"):
            await hypervisor.driver.console(guest.server_id)
        return
    console = await hypervisor.driver.console(guest.server_id)
    with socket.create_connection((console.host, console.port), timeout=10) as connection:
        assert connection.recv(12).startswith(b"RFB ")


async def test_a_guest_without_a_screen_shows_none(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running(properties={"hw_video_model": "none"})

    for operation in ("console", "screenshot"):
        with pytest.raises(GuestFailed) as failed:
            await OPERATIONS[operation](hypervisor.driver, guest.server_id)
        assert failed.value.operation == operation


async def test_what_is_counted_of_a_guest(hypervisor: Hypervisor) -> None:
    flavor = Flavor(id="2", name="m1.two", vcpus=2, ram_mb=96, disk_gb=1)
    guest = await hypervisor.running(flavor=flavor, config_drive=DRIVE)

    seen = await hypervisor.driver.diagnostics(guest.server_id)

    assert (seen.state, seen.vcpus, seen.memory_maximum_kib) == ("running", 2, 96 * 1024)
    assert seen.has_config_drive
    assert seen.driver
    assert seen.hypervisor
    assert seen.cpu_time_ns >= -1
    assert seen.disks["vda"].keys() == {
        "read_bytes", "read_requests", "write_bytes", "write_requests", "errors_count"
    }  # fmt: skip
    assert seen.disks["vda"]["read_bytes"] > 0  # it has booted from it
    assert set(seen.nics) <= {ADDRESS.mac}


async def test_a_paused_guest_is_counted_as_paused(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()
    await hypervisor.driver.pause(guest.server_id)

    seen = await hypervisor.driver.diagnostics(guest.server_id)

    assert (seen.state, seen.has_config_drive) == ("paused", False)


@pytest.mark.parametrize("properties", [{}, {"hw_qemu_guest_agent": "no"}], ids=["silent", "no"])
async def test_a_guest_without_an_agent_takes_no_password(hypervisor: Hypervisor, properties: dict[str, str]) -> None:
    guest = await hypervisor.running(properties=properties)

    with pytest.raises(GuestFailed) as failed:
        await hypervisor.driver.set_password(guest.server_id, "root", PASSWORD)

    assert failed.value.operation == "set_password"
    assert "agent" in failed.value.reason
    assert PASSWORD not in str(failed.value)


async def test_a_guest_survives_an_interrupt_that_it_does_not_mind(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()

    for _ in range(2):
        await hypervisor.driver.inject_nmi(guest.server_id)

    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
