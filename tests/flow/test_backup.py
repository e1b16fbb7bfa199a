"""createBackup through the whole cloud: an image of a type, of which only so many are kept."""

from pathlib import Path

from novaflow.models import Server
from novaflow.states import Vm
from tests.support.actions import act, last_task, leftovers, task_states
from tests.support.cloud import Cloud, cloud
from tests.support.gates import Broken


async def back_up(world: Cloud, server: Server, name: str, kind: str = "daily", rotation: int = 2) -> Server:
    """Order a backup as nova-api does."""
    properties = {"image_type": "backup", "backup_type": kind, "instance_uuid": server.id}
    world.images.queue(name, properties=properties, owner="p")
    return await act(world, server, "createBackup", image_id=name, backup_type=kind, rotation=rotation)


async def test_only_the_newest_backups_of_a_type_are_kept(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server, other) = await world.boot(2)
        await back_up(world, other, "of another server")
        await back_up(world, server, "weekly", kind="weekly")

        for name in ("first", "second", "third"):
            after = await back_up(world, server, name)
            assert after.vm is Vm.ACTIVE

        assert await task_states(world, server) == ["image_backup", "image_pending_upload", "image_uploading", None]
        kept = {"of another server", "weekly", "second", "third"}
        assert {name for name, image in world.images.facts.items() if image.properties} == kept
        assert {world.images.facts[name].status for name in kept} == {"active"}


async def test_a_rotation_of_none_keeps_no_backup(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()

        await back_up(world, server, "first", rotation=0)

        assert "first" not in world.images.facts


async def test_images_of_others_that_look_like_backups_neither_count_nor_go(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        await back_up(world, server, "first", rotation=1)
        forged = {"image_type": "backup", "backup_type": "daily", "instance_uuid": server.id}
        world.images.add("forged", b"x", owner="somebody else", properties=forged)

        await back_up(world, server, "second", rotation=1)

        assert {"forged", "second"} <= world.images.facts.keys()
        assert "first" not in world.images.facts


async def test_a_backup_that_fails_removes_none_of_the_old_ones(tmp_path: Path) -> None:
    broken = Broken("snapshot", times=0)
    async with cloud(tmp_path, before=broken) as world:
        (server,) = await world.boot()
        await back_up(world, server, "first", rotation=1)
        broken.times = 1

        await back_up(world, server, "second", rotation=1)

        assert (await last_task(world, server))[:2] == ("createBackup", "error")
        assert "first" in world.images.facts
        assert "second" not in world.images.facts
        assert leftovers(world) == []


async def test_a_backup_that_may_not_be_removed_stays_and_the_new_one_is_made(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        await back_up(world, server, "protected", rotation=1)
        world.images.protected.add("protected")

        await back_up(world, server, "second", rotation=1)

        assert (await last_task(world, server))[:2] == ("createBackup", "done")
        assert {"protected", "second"} <= world.images.facts.keys()
