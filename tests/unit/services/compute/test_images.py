"""What a server boots from: found with whose token, fetched once, refused when it must be."""

from pathlib import Path

import msgspec
import pytest

from novaflow.errors import ImageRefused, Invalid, NotFound, ServiceUnavailable, Unauthorized
from novaflow.models import ImageFacts, Server
from novaflow.states import Power, Task, Vm
from services.compute.images import COMMAND_LINE, PAUSES, BootImages
from tests.support import disks
from tests.support.cloud import SERVICE_TOKEN, TINY, Images
from tests.support.quick_clock import EPOCH, QuickClock


class World:
    """An image service with one image, and the host's side of it."""

    def __init__(self, directory: Path) -> None:
        self.service = Images()
        self.clock = QuickClock()
        self.service.add("cirros", bytes(4096), disk_format="raw")
        self.images = BootImages(self.service, directory, self.clock, self.service_token)

    async def service_token(self) -> str:
        return SERVICE_TOKEN

    def change(self, image_id: str, **more: object) -> None:
        self.service.facts[image_id] = msgspec.structs.replace(self.service.facts[image_id], **more)


class Restarting(Images):
    """Is away for its first `silent` calls."""

    def __init__(self, silent: int) -> None:
        super().__init__()
        self.silent = silent

    async def show(self, image_id: str, token: str) -> ImageFacts:
        if self.silent:
            self.silent -= 1
            raise ServiceUnavailable(service="image", reason="it did not answer")
        return await super().show(image_id, token)


def server(**more: object) -> Server:
    facts = {
        "id": "s", "name": "web", "hostname": "web", "project_id": "p", "user_id": "u", "flavor": TINY,
        "image_id": "cirros", "vm": Vm.BUILDING, "task": Task.IDLE, "power": Power.NOSTATE,
        "created_at": EPOCH, "updated_at": EPOCH, **more,
    }  # fmt: skip
    return msgspec.convert(facts, Server)


async def test_the_users_token_is_used_as_long_as_it_is_good(tmp_path: Path) -> None:
    world = World(tmp_path)

    found = await world.images.find(server(), "user")
    files = await world.images.fetch(found)

    assert world.service.calls == [("show", "cirros", "user"), ("download", "cirros", "user")]
    assert files.disk
    assert files.disk.format == "raw"
    assert Path(files.disk.path).read_bytes() == bytes(4096)
    assert (files.kernel, files.command_line) == ("", "")


@pytest.mark.parametrize("token", ["", "ended"])
async def test_without_a_good_one_the_services_own_token_is(tmp_path: Path, token: str) -> None:
    world = World(tmp_path)

    found = await world.images.find(server(), token)

    assert found.token == SERVICE_TOKEN
    assert world.service.calls[-1] == ("show", "cirros", SERVICE_TOKEN)


async def test_a_service_token_that_is_refused_too_is_an_error(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.service.tokens = set()

    with pytest.raises(Unauthorized):
        await world.images.find(server(), "user")


async def test_the_servers_kernel_goes_before_the_images(tmp_path: Path) -> None:
    world = World(tmp_path)
    for name in ("k1", "k2"):
        world.service.add(name, b"\x7fELF " + name.encode(), disk_format="aki", container_format="aki")
    world.change("cirros", kernel_id="k1")

    found = await world.images.find(server(kernel_id="k2"), "user")
    files = await world.images.fetch(found)

    assert Path(files.kernel).read_bytes() == b"\x7fELF k2"
    assert (files.ramdisk, files.command_line) == ("", COMMAND_LINE)


async def test_an_image_may_say_its_kernels_command_line(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.service.add("k1", b"\x7fELF", disk_format="aki", container_format="aki")
    world.change("cirros", kernel_id="k1", properties={"os_command_line": "console=ttyS0 quiet"})

    files = await world.images.fetch(await world.images.find(server(), "user"))

    assert files.command_line == "console=ttyS0 quiet"


async def test_what_cannot_be_booted_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(NotFound):
        await world.images.find(server(image_id="gone"), "user")

    world.change("cirros", status="queued")
    with pytest.raises(ImageRefused, match="it is queued, not active"):
        await world.images.find(server(), "user")

    world.change("cirros", status="active", size_bytes=2**30 + 1)
    with pytest.raises(Invalid, match="Flavor's disk is too small for requested image"):
        await world.images.find(server(), "user")
    world.change("cirros", size_bytes=2**30)
    await world.images.find(server(), "user")


async def test_a_flavor_without_a_disk_takes_any_image(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.change("cirros", size_bytes=2**40)

    await world.images.find(server(flavor=msgspec.structs.replace(TINY, disk_gb=0)), "user")


async def test_what_counts_is_how_large_the_disk_is_inside(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.service.add("fits", disks.qcow2(2**30), disk_format="qcow2")
    world.service.add("large", disks.qcow2(2**30 + 512), disk_format="qcow2")

    await world.images.fetch(await world.images.find(server(image_id="fits"), "user"))
    found = await world.images.find(server(image_id="large"), "user")
    with pytest.raises(Invalid, match="Flavor disk is 1073741824 bytes, image is 1073742336 bytes"):
        await world.images.fetch(found)
    own_size = await world.images.find(
        server(image_id="large", flavor=msgspec.structs.replace(TINY, disk_gb=0)), "user"
    )
    files = await world.images.fetch(own_size)
    assert files.disk
    assert files.disk.format == "qcow2"


async def test_an_image_service_that_restarts_is_waited_for(tmp_path: Path) -> None:
    clock, service = QuickClock(), Restarting(silent=len(PAUSES))
    service.add("cirros", bytes(4096), disk_format="raw")
    images = BootImages(service, tmp_path, clock, World(tmp_path).service_token)

    assert (await images.find(server(), "user")).disk.id == "cirros"
    assert clock.slept == list(PAUSES)

    service.silent = len(PAUSES) + 1
    with pytest.raises(ServiceUnavailable):
        await images.find(server(), "user")
