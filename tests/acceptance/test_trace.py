"""`novaflow trace` shows a boot hop by hop, in the order of the classic request flow."""

import asyncio
import re
import sys
from pathlib import Path

from novaflow.lab.openstack import OpenStack, connect
from services.detached import admin, detached
from tests.support.disks import qcow2

HOPS = (
    r"identity .* POST /v3/auth/tokens",
    r"nova-api .* POST /v2\.1/servers",
    r"nova-api .* call GET identity /v3/auth/tokens",
    r"nova-api .* database: check flavor, key pair, quota",
    r"nova-api .* call GET image /v2/images/",
    r"nova-api .* database: new -> building/scheduling",
    r"nova-api .* cast scheduler\.build_instances",
    r"nova-scheduler .* handle scheduler\.build_instances",
    r"nova-scheduler .* filter and weigh hosts",
    r"nova-scheduler .* database: claim room on the host",
    r"nova-scheduler .* cast compute\.build_and_run_instance .* compute\.",
    r"nova-compute .* handle compute\.build_and_run_instance",
    r"nova-compute .* call conductor\.start_build",
    r"nova-conductor .* database: building/scheduling -> building/none",
    r"nova-compute .* call GET image /v2/images/",
    r"nova-conductor .* database: building/none -> building/networking",
    r"nova-conductor .* database: building/networking -> building/block_device_mapping",
    r"nova-conductor .* database: building/block_device_mapping -> building/spawning",
    r"nova-compute .* call GET image /v2/images/\S+/file",
    r"nova-compute .* libvirt: define and start domain",
    r"nova-conductor .* database: building/spawning -> active/none",
    r"nova-api .* GET /v2\.1/servers/",
)
LINE = re.compile(r"^ *[\d,]+\.\d ms +[\d,]+\.\d ms +\S+ +\S.*$")


async def boot(cloud: OpenStack, image: str) -> str:
    """A server that is ACTIVE, ordered with a token of its own."""
    await cloud.login()
    server_id = await cloud.boot("traced", image, "1")
    async with asyncio.timeout(60):
        while (server := await cloud.server(server_id)) is None or server["status"] == "BUILD":
            await asyncio.sleep(0.05)
    assert server["status"] == "ACTIVE"
    await cloud.server(server_id)  # a look that surely began after the last transition was told
    return server_id


async def test_a_boot_is_shown_hop_by_hop_with_durations(state_dir: Path) -> None:
    async with detached(["--virt", "fake", "--port-base", "0"], state_dir) as config, connect(admin(config)) as cloud:
        image = await cloud.upload_image("disk", qcow2(), disk_format="qcow2", container_format="bare")
        server_id = await boot(cloud, image)
        await asyncio.sleep(1)  # a span may wait for a moment before it is in its file
        shown = await _trace(server_id, state_dir)

    heading, *lines = shown.rstrip().splitlines()
    assert heading.split() == ["at", "took", "service", "hop", "result"]
    assert [line for line in lines if not LINE.match(line)] == []
    rest = iter(lines)
    for hop in HOPS:
        assert any(re.search(hop, line) for line in rest), f"{hop} is not there, or not in its turn:\n{shown}"


async def _trace(server_id: str, state_dir: Path) -> str:
    command = (sys.executable, "-m", "services.cli", "trace", server_id, "--state-dir", str(state_dir))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()
