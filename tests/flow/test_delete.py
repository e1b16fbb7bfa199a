"""A delete through the whole cloud, alone and against whatever else goes on."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from novaflow.errors import NotFound
from novaflow.states import Vm
from tests.support.cloud import cloud, settings
from tests.support.gates import Broken, Gate


async def test_a_deleted_server_leaves_nothing(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()

        deleted = await world.order(server, "delete")

        assert deleted.vm is Vm.DELETED
        assert world.guests() == {}
        assert [(host.servers, host.ram_mb_used) for host in await world.all_hosts()] == [(0, 0), (0, 0)]
        with pytest.raises(NotFound):
            await world.servers.get(server.id)


async def test_a_delete_is_one_order_and_one_report(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        world.spans.all.clear()

        await world.order(server, "delete")

        assert world.hops("publish", "db", "libvirt") == [
            "cast compute.terminate_instance",
            "destroy domain",
            "call conductor.report_progress",
            "active/deleting -> deleted/none",
        ]


async def test_a_delete_takes_over_from_a_build(tmp_path: Path) -> None:
    gate = Gate("spawn")
    async with cloud(tmp_path, before=gate) as world:
        (server,) = await world.boot(settle=False)
        await gate.reached.wait()
        ordered = await world.order(server, "delete", settle=False)
        gate.open()

        assert (await world.settled(ordered.id)).vm is Vm.DELETED
        await world.quiet()
        assert world.guests() == {}
        actions = await world.servers.actions(server.id)
        assert [(task.action, task.state) for task in actions] == [("delete", "done"), ("create", "superseded")]


async def test_a_delete_does_not_wait_for_a_guest_that_will_not_power_off(tmp_path: Path) -> None:
    patient = settings(compute=msgspec.structs.replace(settings().compute, stop_timeout=60.0))
    async with cloud(tmp_path, patient, answers_power_button=False) as world:
        (server,) = await world.boot()
        await world.order(server, "stop", settle=False)
        await asyncio.sleep(0.3)  # the guest has been asked, and has a minute

        async with asyncio.timeout(30.0):
            deleted = await world.order(server, "delete")

        assert deleted.vm is Vm.DELETED
        assert world.guests() == {}


async def test_the_same_delete_twice_deletes_once(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        ordered = await world.order(server, "delete", settle=False)
        await world.cast_order(ordered, "delete")
        await world.settled(server.id)
        await world.quiet()

        assert world.hops("db").count("active/deleting -> deleted/none") == 1
        assert [host.servers for host in await world.all_hosts()] == [0, 0]


async def test_a_delete_that_the_hypervisor_refuses_ends_in_error_and_may_be_tried_again(tmp_path: Path) -> None:
    async with cloud(tmp_path, before=Broken("destroy", times=1)) as world:
        (server,) = await world.boot()

        failed = await world.order(server, "delete")
        assert failed.vm is Vm.ERROR
        assert failed.fault is not None
        assert failed.fault.message.endswith("the hypervisor is broken")

        assert (await world.order(server, "delete")).vm is Vm.DELETED
        assert world.guests() == {}
