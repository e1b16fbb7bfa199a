"""A process with one compute host on the embedded libvirt, for tests that kill it.

    python -m tests.support.libvirt_host DIRECTORY [SERVER_ID IMAGE [SNAPSHOT]]

Spawns the guest if one is named (IMAGE `-`: it is there), writes a line of JSON with the guests it has, begins a snapshot if a path for it is named, and
waits to be killed, or for its standard input to end.
"""

import asyncio
import json
import sys
from pathlib import Path

from novaflow.config import Compute
from novaflow.virt.choose import open_driver
from tests.support.guests import guest_spec, raw_image


async def main(directory: str, *guest: str) -> None:
    driver = open_driver(
        Compute(virt="qemu:///embed", virt_type="qemu"), host="host", directory=Path(directory)
    )  # fmt: skip
    await driver.open()
    server_id, image = guest[:2] or ("", "-")
    if image != "-":
        await driver.spawn(guest_spec(server_id=server_id, disk=raw_image(Path(image))))
    found = {state.server_id: state.power for state in await driver.guests()}
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    for path in guest[2:]:
        await driver.snapshot(guest[0], Path(path))
    await asyncio.to_thread(sys.stdin.read)
    for server_id in found:
        await driver.destroy(server_id)
    await driver.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
