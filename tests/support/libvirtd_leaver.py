"""A process that orders a live migration, for tests that kill it in the middle.

    python -m tests.support.libvirtd_leaver DIRECTORY HOST URI SERVER_ID < INCOMING

Reads the destination as JSON.
"""

import asyncio
import sys
from pathlib import Path

import msgspec

from novaflow.config import Compute
from novaflow.virt.choose import open_driver
from novaflow.virt.driver import Incoming


async def main(directory: str, host: str, uri: str, server_id: str) -> None:
    incoming = msgspec.json.decode(sys.stdin.buffer.read(), type=Incoming)
    driver = open_driver(Compute(virt=uri, virt_type="qemu"), host=host, directory=Path(directory))
    await driver.open()
    await driver.migrate(server_id, incoming)
    await driver.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
