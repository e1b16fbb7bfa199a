"""A new cloud whose two doors are measured: with the fake driver, without quotas, with an image and a flavor for the load."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from novaflow.lab.ec2.doors import Ec2Api, Ec2Door, OpenStackDoor
from novaflow.lab.ec2.rounds import Contestant
from novaflow.lab.ec2.sending import image
from novaflow.lab.load import Plan, ready
from services import processes
from services.detached import admin, detached, logged_in

CLOUDS: Final[Mapping[str, Sequence[str]]] = {
    "full": ("--processes", "--bus", "private", "--db", "private"),
    "embedded": (),
}
"""By name what `novaflow up` is told."""

_UNLIMITED: Final = "[quota]\ninstances = -1\ncores = -1\nram = -1\n"


@asynccontextmanager
async def opened(name: str, scratch: Path, tell: Callable[[str], None]) -> AsyncIterator[list[Contestant]]:
    """Both doors of a cloud of this kind while the block runs. Raises ServiceUnavailable when it does not start."""
    config, directory = scratch / f"{name}.toml", scratch / name
    config.write_text(_UNLIMITED)
    arguments = ["--config", str(config), *CLOUDS[name], "--virt", "fake", "--port-base", "0"]
    async with (
        detached(arguments, directory, tell) as running,
        logged_in(admin(running)) as cloud,
        ready(cloud, Plan()) as new_run,
    ):
        run = new_run()
        api = Ec2Api(running.ec2_url, await cloud.ec2_keys(), running.identity.region)
        doors = (
            Ec2Door(api, await image(api, {"name": run.tag}), run.tag),
            OpenStackDoor(cloud.compute, cloud.headers, run.image, run.flavor),
        )
        yield [Contestant(name, door, partial(processes.cpu, directory)) for door in doors]
