"""createImage through the whole cloud: a running guest's disk becomes an image, or nothing is left of the try."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from novaflow.errors import ServiceUnavailable
from novaflow.states import Power, Vm
from novaflow.virt.fake.disk import read_note
from tests.support.actions import IMAGE, LONG, act, cast, guest_of, last_task, leftovers, settled, task_states
from tests.support.cloud import SERVICE_TOKEN, Cloud, cloud, settings
from tests.support.gates import Broken, Gate

CHAIN = ["image_snapshot_pending", "image_snapshot", "image_pending_upload", "image_uploading"]


class Held:
    """Holds an upload until it is let go."""

    def __init__(self, world: Cloud) -> None:
        self.reached = asyncio.Event()
        self.let_go = asyncio.Event()
        world.images.before_upload = self

    async def __call__(self, image_id: str) -> None:
        self.reached.set()
        await self.let_go.wait()


async def test_an_image_holds_the_disk_of_a_server_that_goes_on(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()

        after = await act(world, server, "createImage", image_id=IMAGE)

        assert (after.status, after.power) == ("ACTIVE", Power.RUNNING)
        assert await task_states(world, server) == [*CHAIN, None]
        image = world.images.facts[IMAGE]
        assert (image.status, image.disk_format) == ("active", "qcow2")
        (tmp_path / "image").write_bytes(world.images.data[IMAGE])
        assert read_note(tmp_path / "image") == guest_of(world, server).content
        assert guest_of(world, server).boots == 1
        assert leftovers(world) == []


@pytest.mark.parametrize("before", ["stop", "pause", "suspend"])
async def test_a_server_is_afterwards_what_it_was(tmp_path: Path, before: str) -> None:
    async with cloud(tmp_path) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        was = await (world.order(server, before) if before == "stop" else act(world, server, before))

        after = await act(world, server, "createImage", image_id=IMAGE)

        assert (after.vm, after.power) == (was.vm, was.power)
        assert world.images.facts[IMAGE].status == "active"


async def test_a_snapshot_that_fails_leaves_no_image_and_no_file(tmp_path: Path) -> None:
    async with cloud(tmp_path, before=Broken("snapshot")) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()

        after = await act(world, server, "createImage", image_id=IMAGE)

        assert (after.vm, after.fault) == (Vm.ACTIVE, None)
        assert (await last_task(world, server))[:2] == ("createImage", "error")
        assert IMAGE not in world.images.facts
        assert leftovers(world) == []


async def test_a_copy_that_finds_no_room_ends_the_snapshot_with_that_fault(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        home = tmp_path / "compute" / (server.host or "")
        home.mkdir(parents=True, exist_ok=True)
        (home / "snapshots").write_bytes(b"a file where a directory should be")

        after = await act(world, server, "createImage", image_id=IMAGE)

        assert (after.vm, after.power) == (Vm.ACTIVE, Power.RUNNING)
        action, state, message = await last_task(world, server)
        assert (action, state) == ("createImage", "error")
        assert message is not None
        assert "the copy of its disk cannot be kept or read" in message
        assert IMAGE not in world.images.facts


async def test_an_image_that_was_deleted_meanwhile_ends_the_snapshot_with_that_fault(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()

        after = await act(world, server, "createImage", image_id="gone")

        assert after.vm is Vm.ACTIVE
        assert await last_task(world, server) == ("createImage", "error", "Image gone could not be found.")
        assert leftovers(world) == []


async def test_an_upload_waits_for_an_image_service_that_restarts(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        world.images.trouble = ServiceUnavailable(service="image", reason="it restarts")
        await act(world, server, "createImage", image_id=IMAGE, settle=False)

        async def has_tried() -> bool:
            return ("show", IMAGE, "user") in world.images.calls

        await world.until(has_tried)
        world.images.trouble = None
        await settled(world, server.id)

        assert world.images.facts[IMAGE].status == "active"


async def test_an_upload_whose_users_token_has_ended_goes_on_in_the_services_name(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        world.images.tokens.remove("user")

        await act(world, server, "createImage", image_id=IMAGE)

        assert ("upload", IMAGE, SERVICE_TOKEN) in world.images.calls
        assert world.images.facts[IMAGE].status == "active"


async def test_a_delete_cuts_a_snapshot_short_and_leaves_nothing(tmp_path: Path) -> None:
    gate = Gate("snapshot")
    async with cloud(tmp_path, before=gate) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        await act(world, server, "createImage", image_id=IMAGE, settle=False)
        await gate.reached.wait()

        assert (await world.order(server, "delete")).vm is Vm.DELETED

        assert (world.guests(), leftovers(world), IMAGE in world.images.facts) == ({}, [], False)


async def test_a_delete_cuts_an_upload_short_and_leaves_nothing(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        upload = Held(world)
        await act(world, server, "createImage", image_id=IMAGE, settle=False)
        await upload.reached.wait()

        assert (await world.order(server, "delete")).vm is Vm.DELETED

        assert (world.guests(), leftovers(world), IMAGE in world.images.facts) == ({}, [], False)


async def test_a_delete_before_the_snapshot_has_its_turn_leaves_no_image(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        await world.processes["compute"].kill()
        await act(world, server, "createImage", image_id=IMAGE, settle=False)
        await world.order(server, "delete", settle=False)
        await world.processes["compute"].start()

        assert (await settled(world, server.id)).vm is Vm.DELETED
        await world.quiet()

        assert (world.guests(), leftovers(world), IMAGE in world.images.facts) == ({}, [], False)


async def test_an_image_that_is_complete_stays_whatever_becomes_of_the_server(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        ordered = await act(world, server, "createImage", image_id=IMAGE, settle=False)
        await settled(world, server.id)
        await world.order(server, "delete")

        await cast(world, ordered, "createImage")
        await world.quiet()

        assert world.images.facts[IMAGE].status == "active"


async def test_a_snapshot_that_comes_twice_is_taken_once(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        ordered = await act(world, server, "createImage", image_id=IMAGE, settle=False)
        await cast(world, ordered, "createImage")
        await settled(world, server.id)
        await world.quiet()

        assert world.hops("libvirt").count("snapshot") == 1


@pytest.mark.parametrize("where", ["snapshot", "upload"])
async def test_a_snapshot_whose_host_is_killed_is_taken_when_it_is_back(tmp_path: Path, where: str) -> None:
    gate = Gate("snapshot", holds=1 if where == "snapshot" else 0)
    async with cloud(tmp_path, settings(conductor=LONG), before=gate) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        upload = Held(world)
        await act(world, server, "createImage", image_id=IMAGE, settle=False)
        await (gate if where == "snapshot" else upload).reached.wait()
        await world.processes["compute"].kill()
        (tmp_path / "compute" / (server.host or "") / "snapshots" / "dead").write_bytes(b"left by a dead process")
        await world.processes["compute"].start()
        upload.let_go.set()

        assert (await settled(world, server.id)).vm is Vm.ACTIVE

        assert world.images.facts[IMAGE].status == "active"
        assert leftovers(world) == []


async def test_a_host_makes_only_so_many_snapshots_at_once(tmp_path: Path) -> None:
    compute = msgspec.structs.replace(settings().compute, hosts=1, snapshots_at_once=1)
    async with cloud(tmp_path, settings(compute=compute)) as world:
        for name in ("a", "b"):
            world.images.queue(name)
        first, second = await world.boot(2)
        upload = Held(world)
        await act(world, first, "createImage", image_id="a", settle=False)
        await upload.reached.wait()
        await act(world, second, "createImage", image_id="b", settle=False)
        await world.quiet()

        assert world.hops("libvirt").count("snapshot") == 1
        assert (await task_states(world, second))[-1] == "image_snapshot"

        upload.let_go.set()
        await settled(world, first.id)
        await settled(world, second.id)
        assert {world.images.facts[name].status for name in ("a", "b")} == {"active"}
