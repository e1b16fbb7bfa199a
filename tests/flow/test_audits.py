"""What crashes, lost orders and absences leave behind is found, set right and said; what nobody knows is left alone."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from novaflow.config import Config
from novaflow.db import moving
from novaflow.models import Server
from novaflow.states import Event, Power, Vm
from novaflow.tasks import TaskParams
from services.compute import records
from services.compute.boots import NOTE
from services.compute.service import DIRECTORY
from services.internal_orders import order_internally
from tests.support.cloud import USER, Cloud, cloud, settings
from tests.support.moves import once

STRAY = "99999999-9999-4999-8999-999999999999"


def often() -> Config:
    """Audits that tests need not wait for."""
    config = settings()
    return msgspec.structs.replace(
        config, compute=msgspec.structs.replace(config.compute, sync_power_state_interval=0.1, hosts=1)
    )


def guest_files(world: Cloud, host: str) -> Path:
    return world.directory / host / "guests"


def becomes(world: Cloud, server: Server, vm: Vm) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        now = await world.server(server.id)
        return now.vm is vm and now.task_id is None

    return holds


async def parked_while_away(world: Cloud, server: Server) -> None:
    """The server's host has died, and has its guest parked."""
    driver = world.drivers[server.host or ""]
    await world.processes["compute"].kill()
    await driver.power_off(server.id, 0.0)
    await driver.park(server.id)


async def test_a_guest_that_the_database_does_not_know_is_left_alone_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with cloud(tmp_path, often()) as world:
        (server,) = await world.boot()
        await world.processes["compute"].kill()
        home = guest_files(world, server.host or "")
        copy = (home / f"{server.id}.json").read_bytes().replace(server.id.encode(), STRAY.encode())
        (home / f"{STRAY}.json").write_bytes(copy)
        await world.processes["compute"].start()

        async def is_said() -> bool:
            return f"of server {STRAY}, which the database does not know" in caplog.text

        await world.until(is_said)
        assert set(world.guests()) == {server.id, STRAY}


async def test_a_guest_whose_server_was_deleted_while_its_host_was_away_is_removed(tmp_path: Path) -> None:
    async with cloud(tmp_path, often()) as world:
        (server, other) = await world.boot(2)
        await world.processes["compute"].kill()
        await world.servers.delete_locally(USER, server)
        await world.processes["compute"].start()

        async def is_clean() -> bool:
            return set(world.guests()) == {other.id}

        await world.until(is_clean)


async def test_a_parked_guest_of_a_server_that_is_gone_is_removed(tmp_path: Path) -> None:
    async with cloud(tmp_path, often()) as world:
        (server,) = await world.boot()
        await parked_while_away(world, server)
        await world.servers.delete_locally(USER, server)
        await world.processes["compute"].start()

        async def is_clean() -> bool:
            return await world.drivers[server.host or ""].parked() == []

        await world.until(is_clean)


async def test_a_server_whose_move_was_given_up_while_it_was_parked_has_its_guest_again(tmp_path: Path) -> None:
    async with cloud(tmp_path, often()) as world:
        (server,) = await world.boot()
        await parked_while_away(world, server)
        await world.processes["compute"].start()

        async def is_back() -> bool:
            return await world.drivers[server.host or ""].power(server.id) is Power.RUNNING

        await world.until(is_back)
        assert (await world.server(server.id)).status == "ACTIVE"


async def test_what_is_parked_for_a_move_that_is_under_way_is_spared(tmp_path: Path) -> None:
    async with cloud(tmp_path, often()) as world:
        (server,) = await world.boot()
        driver = world.drivers[server.host or ""]
        await world.processes["compute"].kill()

        async def accompany(connection: object, order: object) -> TaskParams:
            move = moving.accepted(
                server_id=server.id,
                task_id=order.task_id,  # type: ignore[attr-defined]
                kind="resize",
                source_host=server.host or "",
                old=server.flavor,
                new=server.flavor,
                old_vm=server.vm,
                project_id=server.project_id,
                user_id=server.user_id,
                now=server.updated_at,
            )
            return TaskParams(migration_id=await moving.add(connection, move))  # type: ignore[arg-type]

        await world.servers.order(USER, server, "resize", Event.RESIZE_ORDERED, accompany=accompany)
        await driver.power_off(server.id, 0.0)
        await driver.park(server.id)
        verdicts = await world.servers.judge(server.host or "", [server.id])

        assert verdicts == {server.id: "moving"}


async def test_an_active_server_without_a_guest_ends_in_error_once_its_host_has_looked_twice(tmp_path: Path) -> None:
    async with cloud(tmp_path, often()) as world:
        (server,) = await world.boot()
        await world.drivers[server.host or ""].destroy(server.id)

        await world.until(becomes(world, server, Vm.ERROR))
        lost = await world.server(server.id)

        assert lost.fault
        assert lost.fault.message == f"The guest is gone: host {server.host} has none of this server."
        assert (await world.order(server, "delete")).vm is Vm.DELETED


async def test_guests_that_ran_when_their_machine_went_down_are_started_when_it_is_up_again(tmp_path: Path) -> None:
    async with cloud(tmp_path, often()) as world:
        (server, stopped) = await world.boot(2)
        await world.order(stopped, "stop")
        host = server.host or ""
        await world.processes["compute"].kill()
        world.drivers[host].guest_dies(server.id)
        (tmp_path / DIRECTORY / host / NOTE).write_text("an earlier boot\n")
        await world.processes["compute"].start()

        async def runs() -> bool:
            return await world.drivers[host].power(server.id) is Power.RUNNING

        await world.until(runs)
        assert (await world.server(server.id)).status == "ACTIVE"
        assert [action.action for action in await world.servers.actions(server.id)] == ["create"]
        assert await world.drivers[host].power(stopped.id) is Power.SHUTDOWN


async def test_they_are_started_also_when_the_conductor_is_away_at_that_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cloud(tmp_path, often()) as world:
        (server,) = await world.boot()
        host = server.host or ""
        await world.processes["compute"].kill()
        world.drivers[host].guest_dies(server.id)
        (tmp_path / DIRECTORY / host / NOTE).write_text("an earlier boot\n")
        monkeypatch.setattr(records, "TIMEOUT", 1.0)  # seconds; of a question that nobody answers

        with once(world, "call conductor.host_started", world.processes["conductor"].kill) as done:
            starting = asyncio.create_task(world.processes["compute"].start())
            await done.wait()
        await asyncio.sleep(2.0)
        await world.processes["conductor"].start()
        await starting

        async def runs() -> bool:
            return await world.drivers[host].power(server.id) is Power.RUNNING

        await world.until(runs)
        assert [action.action for action in await world.servers.actions(server.id)] == ["create"]


async def test_a_paused_server_whose_guest_dies_is_stopped(tmp_path: Path) -> None:
    async with cloud(tmp_path, often()) as world:
        (server,) = await world.boot()
        assert await order_internally(world.bus, world.servers, server, Event.PAUSE_ORDERED)
        await world.until(becomes(world, server, Vm.PAUSED))
        world.drivers[server.host or ""].guest_dies(server.id)

        await world.until(becomes(world, server, Vm.STOPPED))
