"""Reboots through the whole cloud."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from novaflow.states import Power, Vm
from tests.support.cloud import cloud, settings
from tests.support.gates import Broken


@pytest.mark.parametrize(
    ("hard", "moves"),
    [
        (False, ["active/rebooting", "active/reboot_pending", "active/reboot_started"]),
        (True, ["active/rebooting_hard", "active/reboot_pending_hard", "active/reboot_started_hard"]),
    ],
    ids=["soft", "hard"],
)
async def test_a_reboot_passes_through_novas_states_and_boots_again(
    tmp_path: Path, hard: bool, moves: list[str]
) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        world.spans.all.clear()

        rebooted = await world.order(server, "reboot", hard=hard)

        assert (rebooted.status, rebooted.power) == ("ACTIVE", Power.RUNNING)
        assert world.hops("db") == [f"{a} -> {b}" for a, b in zip(moves, [*moves[1:], "active/none"], strict=True)]
        console = await world.drivers[server.host or ""].console_output(server.id, 10_000)
        assert b"boot 2" in console


async def test_a_stopped_server_is_running_after_a_hard_reboot(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        await world.order(server, "stop")

        assert (await world.order(server, "reboot", hard=True)).status == "ACTIVE"


async def test_a_hard_reboot_takes_over_from_a_soft_one_that_waits_for_its_guest(tmp_path: Path) -> None:
    patient = settings(compute=msgspec.structs.replace(settings().compute, stop_timeout=60.0))
    async with cloud(tmp_path, patient, answers_power_button=False) as world:
        (server,) = await world.boot()
        await world.order(server, "reboot", settle=False)
        await asyncio.sleep(0.3)  # the guest has been asked, and has a minute

        async with asyncio.timeout(30.0):
            rebooted = await world.order(server, "reboot", hard=True)

        assert (rebooted.status, rebooted.power) == ("ACTIVE", Power.RUNNING)
        actions = await world.servers.actions(server.id)
        assert [(task.action, task.state) for task in actions[:2]] == [("reboot", "done"), ("reboot", "superseded")]


async def test_a_reboot_that_comes_again_when_it_is_done_reboots_nothing(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        ordered = await world.order(server, "reboot", settle=False)
        await world.settled(server.id)

        await world.cast_order(ordered, "reboot")
        await world.quiet()

        console = await world.drivers[server.host or ""].console_output(server.id, 10_000)
        assert b"boot 3" not in console


async def test_a_reboot_that_fails_while_the_guest_runs_leaves_the_server_as_it_was(tmp_path: Path) -> None:
    async with cloud(tmp_path, before=Broken("power_off", times=1)) as world:
        (server,) = await world.boot()

        failed = await world.order(server, "reboot")

        assert (failed.vm, failed.power) == (Vm.ACTIVE, Power.RUNNING)
        (task, *_) = await world.servers.actions(server.id)
        assert (task.action, task.state) == ("reboot", "error")


@pytest.mark.parametrize("hard", [False, True])
async def test_a_reboot_that_fails_and_leaves_the_guest_off_leaves_the_server_in_error(
    tmp_path: Path, hard: bool
) -> None:
    async with cloud(tmp_path, before=Broken("reboot", times=1)) as world:
        (server,) = await world.boot()

        failed = await world.order(server, "reboot", hard=hard)

        assert (failed.vm, failed.power) == (Vm.ERROR, Power.SHUTDOWN)
        assert failed.fault is not None
        assert failed.fault.message.endswith("the hypervisor is broken")
        assert (await world.order(server, "reboot", hard=True)).vm is Vm.ACTIVE
