"""What becomes due by itself: reclaims, confirms, offloads, rescues that end, builds that take too long."""

from pathlib import Path
from typing import Any

import msgspec

from novaflow.config import Config
from novaflow.states import Event, Task, Vm
from services.internal_orders import order_internally
from tests.support.actions import IMAGE, act
from tests.support.cloud import Cloud, cloud, settings
from tests.support.moves import BIG, move


def impatient(**compute: Any) -> Config:
    config = settings()
    return msgspec.structs.replace(
        config,
        compute=msgspec.structs.replace(config.compute, **compute),
        conductor=msgspec.structs.replace(config.conductor, timer_interval=0.05, task_lease=5.0),
    )


async def reaches(world: Cloud, server_id: str, vm: Vm) -> None:
    async def holds() -> bool:
        server = await world.server(server_id)
        return server.vm is vm and server.task_id is None

    await world.until(holds)


async def test_a_soft_deleted_server_is_reclaimed_when_its_time_is_over(tmp_path: Path) -> None:
    async with cloud(tmp_path, impatient(reclaim_instance_interval=0.5)) as world:
        (server,) = await world.boot()
        assert await order_internally(world.bus, world.servers, server, Event.SOFT_DELETE_ORDERED)

        await reaches(world, server.id, Vm.DELETED)
        assert "active/soft-deleting -> soft-delete/none" in world.hops("db")
        assert world.guests() == {}


async def test_a_soft_deleted_server_stays_when_nothing_is_reclaimed(tmp_path: Path) -> None:
    async with cloud(tmp_path, impatient()) as world:
        (server,) = await world.boot()
        await order_internally(world.bus, world.servers, server, Event.SOFT_DELETE_ORDERED)
        await reaches(world, server.id, Vm.SOFT_DELETED)
        before = await world.server(server.id)
        await world.quiet()

        assert await world.server(server.id) == before
        assert server.id in world.guests()


async def test_a_rescued_server_gets_its_own_system_again_when_its_time_is_over(tmp_path: Path) -> None:
    async with cloud(tmp_path, impatient(rescue_timeout=0.3)) as world:
        (server,) = await world.boot()
        await order_internally(world.bus, world.servers, server, Event.RESCUE_ORDERED)

        async def is_back() -> bool:
            (task, *_) = await world.servers.actions(server.id)
            return (task.action, task.state) == ("unrescue", "done")

        await world.until(is_back)
        assert (await world.server(server.id)).vm is Vm.ACTIVE
        assert [task.action for task in await world.servers.actions(server.id)] == ["unrescue", "rescue", "create"]
        assert "active/rescuing -> rescued/none" in world.hops("db")


async def test_a_build_that_takes_too_long_ends_in_error(tmp_path: Path) -> None:
    config = impatient(instance_build_timeout=0.3)
    async with cloud(tmp_path, config, services=("conductor",)) as world:
        (server,) = await world.boot(settle=False)

        await reaches(world, server.id, Vm.ERROR)
        ended = await world.server(server.id)
        assert ended.task is Task.IDLE
        assert ended.fault
        assert ended.fault.message == "The build took longer than 0 s."


async def test_a_resize_is_confirmed_when_nobody_has_done_it_in_time(tmp_path: Path) -> None:
    async with cloud(tmp_path, impatient(resize_confirm_window=0.3)) as world:
        (server,) = await world.boot()
        assert (await move(world, server, "resize", new=BIG)).flavor == BIG

        await reaches(world, server.id, Vm.ACTIVE)
        assert (await world.server(server.id)).flavor == BIG
        assert [task.action for task in await world.servers.actions(server.id)] == ["confirmResize", "resize", "create"]


async def test_a_shelved_server_leaves_its_host_when_its_time_is_over(tmp_path: Path) -> None:
    async with cloud(tmp_path, impatient(shelved_offload_time=0.3)) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        await act(world, server, "shelve", image_id=IMAGE)

        await reaches(world, server.id, Vm.SHELVED_OFFLOADED)
        assert "active/shelving_image_uploading -> shelved/none" in world.hops("db")
        assert world.guests() == {}
