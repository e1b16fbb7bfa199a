"""The image cache of a compute service is kept within its share, and no image goes that a guest needs."""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from novaflow.clock import SystemClock
from novaflow.config import Config
from services.compute.image_use import ImageUse
from tests.support.cloud import Cloud, cloud, settings
from tests.support.moves import BIG, move, revert

LONG_AGO = 3600.0  # seconds


def no_share(**more: object) -> Config:
    compute = msgspec.structs.replace(
        settings().compute, image_cache_bytes=0, image_cache_interval=0.05, hosts=1, **more
    )
    return settings(compute=compute)


def cached(directory: Path) -> set[str]:
    """The images in the cache, by id."""
    return {path.name.rpartition("-")[0] for path in (directory / "compute" / "images").iterdir() if path.is_file()}


def grow_old(directory: Path) -> None:
    """As if nothing had been asked for in the last hour."""
    then = SystemClock().now().timestamp() - LONG_AGO
    for path in (directory / "compute" / "images").rglob("*"):
        os.utime(path, (then, path.stat().st_mtime if path.parent.name == "images" else then))


async def with_two_images(world: Cloud) -> tuple[str, str]:
    """Servers of two images, one of which boots by a kernel."""
    world.images.add("kernel", b"\x7fELF kernel", disk_format="aki", container_format="aki")
    world.images.add("linux", bytes(8192), disk_format="ami", container_format="ami", kernel_id="kernel")
    (plain,) = await world.boot()
    (linux,) = await world.boot(image_id="linux")
    return plain.id, linux.id


async def test_an_image_goes_when_the_last_guest_made_of_it_is_gone(tmp_path: Path) -> None:
    async with cloud(tmp_path, no_share()) as world:
        plain, linux = await with_two_images(world)
        await world.order(await world.server(plain), "delete")
        grow_old(tmp_path)

        async def is_gone() -> bool:
            return "cirros" not in cached(tmp_path)

        await world.until(is_gone)
        await asyncio.sleep(0.2)  # several looks
        assert cached(tmp_path) == {"linux", "kernel"}

        await world.order(await world.server(linux), "delete")
        grow_old(tmp_path)

        async def is_empty() -> bool:
            return cached(tmp_path) == set()

        await world.until(is_empty)


async def test_a_host_that_starts_again_knows_what_its_guests_need(tmp_path: Path) -> None:
    async with cloud(tmp_path, no_share()) as world:
        plain, _ = await with_two_images(world)
        await world.order(await world.server(plain), "stop")
        await world.processes["compute"].kill()
        grow_old(tmp_path)
        await world.processes["compute"].start()

        await asyncio.sleep(0.3)  # several looks
        assert cached(tmp_path) == {"cirros", "linux", "kernel"}


async def test_nothing_goes_while_a_guest_is_there_whose_images_nobody_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with cloud(tmp_path, no_share()) as world:
        plain, _ = await with_two_images(world)
        (note,) = (tmp_path / "compute" / "images" / "users").rglob(plain)
        note.unlink()
        grow_old(tmp_path)

        async def is_said() -> bool:
            return f"guest {plain} is of unknown images" in caplog.text

        await world.until(is_said)
        assert cached(tmp_path) == {"cirros", "linux", "kernel"}


def test_a_note_that_nobody_can_read_keeps_everything(tmp_path: Path) -> None:
    use = ImageUse(tmp_path)
    use.note("a", "s1", [Path("/cache/x")])
    use.note("b", "s2", [Path("/cache/y"), Path("/cache/x")])
    assert use.images() == {Path("x"), Path("y")}

    (tmp_path / "a" / "s1").write_bytes(b"[")
    with pytest.raises(msgspec.DecodeError):
        use.images()


def test_a_note_of_late_is_not_forgotten(tmp_path: Path) -> None:
    use = ImageUse(tmp_path)
    use.note("a", "s1", [Path("/cache/x")])
    now = SystemClock().now().timestamp()

    use.forget("a", {"s1"}, now - 300)
    assert use.noted("a") == {"s1"}
    use.forget("a", {"s2"}, now + 300)
    assert use.noted("a") == {"s1"}
    use.forget("a", {"s1"}, now + 300)
    assert use.noted("a") == set()


@pytest.mark.parametrize("hosts", [("a",), ("a", "b")], ids=["on its host", "to another host"])
async def test_what_a_parked_guest_is_made_of_stays_until_its_resize_is_confirmed(
    tmp_path: Path, hosts: tuple[str, ...]
) -> None:
    async with cloud(tmp_path, no_share(), services=("conductor", "scheduler")) as world:
        for name in hosts:
            await world.add_host(name)
        (server,) = await world.boot()
        await move(world, server, "resize", new=BIG)
        grow_old(tmp_path)

        await asyncio.sleep(0.3)  # several looks
        assert cached(tmp_path) == {"cirros"}
        assert (await revert(world, server)).flavor == server.flavor
        grow_old(tmp_path)
        await asyncio.sleep(0.3)
        assert cached(tmp_path) == {"cirros"}
