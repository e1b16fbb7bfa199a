"""Guests that move to another host while they run. A guest that went on there did not boot."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from novaflow.errors import GuestFailed
from novaflow.states import Power
from novaflow.virt.driver import Driver, GuestSpec, GuestState, Incoming
from tests.support.hypervisors import Hypervisor, hypervisor_of
from tests.support.libvirtd import daemons, two_hosts


@pytest.fixture(params=["fake", "libvirtd"])
async def hypervisor(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Hypervisor]:
    """Those whose hosts can reach each other."""
    async with AsyncExitStack() as stack:
        if request.param == "libvirtd":
            yield await stack.enter_async_context(two_hosts(await stack.enter_async_context(daemons(tmp_path))))
        else:
            yield await stack.enter_async_context(hypervisor_of(request.param, tmp_path))


@pytest.fixture
async def other(hypervisor: Hypervisor) -> AsyncIterator[Driver]:
    """The host that guests move to."""
    async with hypervisor.neighbour() as driver:
        yield driver


async def way(hypervisor: Hypervisor, guest: GuestSpec, other: Driver) -> Incoming:
    """The other host is ready for the guest."""
    return await other.prepare_incoming(guest, await hypervisor.driver.disk_sizes(guest.server_id))


@pytest.mark.parametrize("power", [Power.RUNNING, Power.PAUSED], ids=["running", "paused"])
async def test_a_guest_moves_with_its_memory(hypervisor: Hypervisor, other: Driver, power: Power) -> None:
    guest = await hypervisor.running()
    if power == Power.PAUSED:
        await hypervisor.driver.pause(guest.server_id)
    incoming = await way(hypervisor, guest, other)

    await hypervisor.driver.migrate(guest.server_id, incoming)
    for _ in range(2):
        await other.finish_incoming(guest.server_id)

    assert await hypervisor.driver.guests() == []
    assert await hypervisor.driver.power(guest.server_id) == Power.NOSTATE
    assert await other.guests() == [GuestState(server_id=guest.server_id, power=power)]
    assert await other.disk_sizes(guest.server_id) == {"disk": 2**30}
    said = await other.console_output(guest.server_id, 100_000)
    assert said.count(hypervisor.says) <= 1  # the log of its console may have stayed behind, but it did not boot


async def test_a_guest_that_has_moved_can_be_switched_there(hypervisor: Hypervisor, other: Driver) -> None:
    guest = await hypervisor.running()
    await hypervisor.driver.migrate(guest.server_id, await way(hypervisor, guest, other))
    await other.finish_incoming(guest.server_id)

    await other.power_off(guest.server_id, 0)
    assert await other.power(guest.server_id) == Power.SHUTDOWN
    await other.power_on(guest.server_id)
    assert await other.power(guest.server_id) == Power.RUNNING


async def test_a_guest_moves_there_and_back(hypervisor: Hypervisor, other: Driver) -> None:
    guest = await hypervisor.running()
    await hypervisor.driver.migrate(guest.server_id, await way(hypervisor, guest, other))
    await other.finish_incoming(guest.server_id)

    sizes = await other.disk_sizes(guest.server_id)
    await other.migrate(guest.server_id, await hypervisor.driver.prepare_incoming(guest, sizes))
    await hypervisor.driver.finish_incoming(guest.server_id)

    assert await other.guests() == []
    assert await hypervisor.driver.guests() == [GuestState(server_id=guest.server_id, power=Power.RUNNING)]


async def test_a_guest_comes_where_what_it_booted_from_is_not(hypervisor: Hypervisor, other: Driver) -> None:
    guest = await hypervisor.running()
    sizes = await hypervisor.driver.disk_sizes(guest.server_id)
    incoming = await other.prepare_incoming(msgspec.structs.replace(guest, disk=None), sizes)

    await hypervisor.driver.migrate(guest.server_id, incoming)
    await other.finish_incoming(guest.server_id)

    assert await other.power(guest.server_id) == Power.RUNNING


@pytest.mark.parametrize("sizes", [{}, {"disk": 2**30, "../disk": 2**30}], ids=["nothing to boot", "no plain name"])
async def test_no_host_is_ready_for_disks_that_no_guest_has(
    hypervisor: Hypervisor, other: Driver, sizes: dict[str, int]
) -> None:
    with pytest.raises(GuestFailed) as failed:
        await other.prepare_incoming(hypervisor.guest(disk=None), sizes)

    assert failed.value.operation == "prepare_incoming"


@pytest.mark.parametrize("state", ["never was", "off", "saved"])
async def test_only_a_guest_that_is_on_moves_with_its_memory(hypervisor: Hypervisor, other: Driver, state: str) -> None:
    guest = hypervisor.guest()
    incoming = await other.prepare_incoming(guest, {"disk": 2**30})
    if state != "never was":
        await hypervisor.driver.spawn(guest)
        await hypervisor.said(guest.server_id)
        await hypervisor.driver.suspend(guest.server_id)
    if state == "off":
        await hypervisor.driver.power_off(guest.server_id, 0)
    before = await hypervisor.driver.guests()

    with pytest.raises(GuestFailed) as failed:
        await hypervisor.driver.migrate(guest.server_id, incoming)

    assert (failed.value.operation, failed.value.server_id) == ("migrate", guest.server_id)
    assert await hypervisor.driver.guests() == before
    with pytest.raises(GuestFailed):
        await other.finish_incoming(guest.server_id)


@pytest.mark.parametrize("case", ["another kind", "no such host", "not expected", "expected no more", "no room"])
async def test_a_guest_that_cannot_go_there_goes_on_here(
    hypervisor: Hypervisor, other: Driver, tmp_path: Path, case: str
) -> None:
    guest = await hypervisor.running()
    incoming = await way(hypervisor, guest, other)
    if case == "another kind":
        incoming = Incoming(kind="somebody's", uri=incoming.uri, xml=incoming.xml)
    elif case == "no such host":
        incoming = Incoming(kind=incoming.kind, uri=str(tmp_path / "nowhere"), xml=incoming.xml)
    elif case == "not expected":
        guest = await hypervisor.running()
    elif case == "expected no more":
        await other.destroy(guest.server_id)
    else:
        incoming = await other.prepare_incoming(guest, {"disk": 2**20})

    with pytest.raises(GuestFailed) as failed:
        await hypervisor.driver.migrate(guest.server_id, incoming)

    assert failed.value.operation == "migrate"
    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
    assert await hypervisor.boots(guest.server_id) == 1


@pytest.mark.parametrize("state", ["never was", "runs", "has left"])
async def test_only_a_guest_that_migrates_is_made_to_arrive(hypervisor: Hypervisor, other: Driver, state: str) -> None:
    guest = hypervisor.guest() if state == "never was" else await hypervisor.running()
    if state == "has left":
        await hypervisor.driver.migrate(guest.server_id, await way(hypervisor, guest, other))
    before = await hypervisor.driver.guests()

    with pytest.raises(GuestFailed) as failed:
        await hypervisor.driver.force_complete(guest.server_id)

    assert (failed.value.operation, failed.value.server_id) == ("force_complete", guest.server_id)
    assert await hypervisor.driver.guests() == before


async def test_a_guest_that_has_not_come_cannot_be_kept(hypervisor: Hypervisor, other: Driver) -> None:
    guest = await hypervisor.running()

    for _ in range(2):
        with pytest.raises(GuestFailed) as failed:
            await other.finish_incoming(guest.server_id)
        assert (failed.value.operation, failed.value.server_id) == ("finish_incoming", guest.server_id)
        await way(hypervisor, guest, other)

    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING


async def test_being_ready_twice_is_being_ready(hypervisor: Hypervisor, other: Driver) -> None:
    guest = await hypervisor.running()
    await way(hypervisor, guest, other)

    await hypervisor.driver.migrate(guest.server_id, await way(hypervisor, guest, other))
    await other.finish_incoming(guest.server_id)

    assert await other.power(guest.server_id) == Power.RUNNING


async def test_a_guest_that_has_come_is_not_lost_to_an_order_that_comes_twice(
    hypervisor: Hypervisor, other: Driver
) -> None:
    guest = await hypervisor.running()
    sizes = await hypervisor.driver.disk_sizes(guest.server_id)
    await hypervisor.driver.migrate(guest.server_id, await other.prepare_incoming(guest, sizes))

    with pytest.raises(GuestFailed) as failed:
        await other.prepare_incoming(guest, sizes)

    assert failed.value.operation == "prepare_incoming"
    assert await other.power(guest.server_id) == Power.RUNNING
    await other.finish_incoming(guest.server_id)


async def test_a_guest_that_came_can_be_destroyed_before_it_is_kept(hypervisor: Hypervisor, other: Driver) -> None:
    guest = await hypervisor.running()
    await hypervisor.driver.migrate(guest.server_id, await way(hypervisor, guest, other))

    await other.destroy(guest.server_id)

    assert await other.guests() == []
    with pytest.raises(GuestFailed):
        await other.finish_incoming(guest.server_id)


async def test_what_never_was_has_no_disks(hypervisor: Hypervisor) -> None:
    nobody = str(uuid.uuid4())

    with pytest.raises(GuestFailed) as failed:
        await hypervisor.driver.disk_sizes(nobody)

    assert (failed.value.operation, failed.value.server_id) == ("disk_sizes", nobody)


async def test_no_host_is_ready_for_a_guest_that_cannot_be(hypervisor: Hypervisor, other: Driver) -> None:
    with pytest.raises(GuestFailed) as failed:
        await other.prepare_incoming(hypervisor.guest(server_id="../../etc"), {"disk": 2**30})

    assert failed.value.operation == "prepare_incoming"


async def test_a_guest_that_got_there_in_an_earlier_try_has_moved(hypervisor: Hypervisor, other: Driver) -> None:
    guest = await hypervisor.running()
    incoming = await way(hypervisor, guest, other)

    for _ in range(2):
        await hypervisor.driver.migrate(guest.server_id, incoming)
        assert await hypervisor.driver.guests() == []
    await other.finish_incoming(guest.server_id)

    assert await other.power(guest.server_id) == Power.RUNNING


async def test_no_host_has_room_for_a_disk_of_a_name_that_nobody_knows(hypervisor: Hypervisor, other: Driver) -> None:
    with pytest.raises(GuestFailed) as failed:
        await other.prepare_incoming(hypervisor.guest(), {"../disk": 2**30})

    assert failed.value.operation == "prepare_incoming"
    assert await other.guests() == []
