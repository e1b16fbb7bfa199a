"""A process with one compute host on the embedded libvirt, for tests that kill it.

    python -m tests.support.libvirt_host DIRECTORY [SERVER_ID IMAGE [SNAPSHOT [DISK]]]

Spawns the guest if one is named (IMAGE `-`: it is there), writes a line of JSON with the guests it has, begins a snapshot if a path for it is named, and
waits to be killed, or for its standard input to end. With DISK, a qcow2 file, the guest gets a volume of it (`-`: it has it), and the snapshot is one of
that volume, with SNAPSHOT for its id.
"""

import asyncio
import json
import shutil
import sys
from pathlib import Path

from novaflow.config import Compute
from novaflow.virt.choose import open_driver
from novaflow.virt.driver import Driver
from tests.support.guests import guest_spec, raw_image

HOST = "host"
VOLUME = "22222222-2222-4222-8222-222222222222"


async def main(directory: str, server_id: str = "", image: str = "-", snapshot: str = "", disk: str = "") -> None:
    driver = open_driver(
        Compute(virt="qemu:///embed", virt_type="qemu"), host=HOST, directory=Path(directory)
    )  # fmt: skip
    await driver.open()
    if image != "-":
        await driver.spawn(guest_spec(server_id=server_id, disk=raw_image(Path(image))))
    if disk not in ("", "-"):
        await give(driver, server_id, Path(directory), disk)
    found = {state.server_id: state.power for state in await driver.guests()}
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    if disk:
        await driver.snapshot_volume(VOLUME, snapshot)
    elif snapshot:
        await driver.snapshot(server_id, Path(snapshot))
    await asyncio.to_thread(sys.stdin.read)
    for server_id in found:
        await driver.destroy(server_id)
    await driver.close()


async def give(driver: Driver, server_id: str, directory: Path, disk: str) -> None:
    await driver.make_volume(VOLUME, 1)
    shutil.copyfile(disk, directory / HOST / "volumes" / VOLUME / "disk")
    await driver.attach_volume(server_id, VOLUME, "vdb")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
