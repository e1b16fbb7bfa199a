"""Real guests at the metadata service: what they get at 169.254.169.254."""

import base64
from collections.abc import AsyncIterator

import pytest

from tests.support.libvirt import need_libvirt, short_directory
from tests.support.linux_server import (
    GUEST_IMAGE,
    SMALL,
    LinuxCloud,
    LinuxServer,
    asks_metadata_service,
    image_named,
    linux_cloud,
)

pytestmark = pytest.mark.timeout(600)

ASKS = """#!/bin/sh
get() { timeout 20 wget -q -O - "http://169.254.169.254/$1"; echo; }
echo "id $(get latest/meta-data/instance-id)"
echo "name $(get latest/meta-data/hostname)"
echo "address $(get 2009-04-04/meta-data/local-ipv4)"
echo "own address $(ip -4 -o addr show eth0)"
echo "uuid $(get openstack/latest/meta_data.json)"
put() {
  printf 'PUT /latest/api/token HTTP/1.1\\r\\nHost: m\\r\\nX-aws-ec2-metadata-token-ttl-seconds: 60\\r\\nConnection: close\\r\\n\\r\\n'
}
token=$(put | timeout 20 nc 169.254.169.254 80 | tail -n 1)
echo "with a token $(timeout 20 wget -q -O - --header "X-aws-ec2-metadata-token: $token" http://169.254.169.254/latest/meta-data/ami-launch-index)"
timeout 20 wget -q -O - --header "X-Instance-ID: 1234" http://169.254.169.254/latest/meta-data/instance-id && echo " is who we are, whoever we say we are"
timeout 20 wget -q -O - --header "X-aws-ec2-metadata-token: none" http://169.254.169.254/latest/meta-data/ || echo "a bad token is refused"
timeout 5 wget -q -O - http://10.0.0.1:22/ || echo "the host is closed"
echo "that was all"
"""


@pytest.fixture
async def cloud() -> AsyncIterator[LinuxCloud]:
    need_libvirt()
    with short_directory() as directory:
        async with linux_cloud(directory, "", "--virt", "qemu:///embed") as made:
            yield made


async def booted(cloud: LinuxCloud, name: str, script: str) -> LinuxServer:
    flavor = await cloud.flavor(f"of-{name}", **SMALL)
    data = base64.b64encode(script.encode()).decode()
    made = await cloud.client.boot(name, cloud.image, flavor, networks="auto", user_data=data)
    return LinuxServer(cloud.client, made)


async def test_a_guest_gets_its_user_data_from_its_wire_and_nobody_elses(cloud: LinuxCloud) -> None:
    await asks_metadata_service(cloud.client, await image_named(cloud.client, GUEST_IMAGE))

    server = await booted(cloud, "web", ASKS)
    other = await booted(cloud, "other", ASKS)
    said, others = await server.says("that was all"), await other.says("that was all")

    for guest, text, name in ((server, said, "web"), (other, others, "other")):
        assert "metadata fetched from 169.254.169.254" in text
        assert f"instance-id {guest.id}" in text
        assert f"name {name}.novalocal" in text
        assert f'"uuid":"{guest.id}"' in text
        assert "with a token 0" in text
        assert "is who we are, whoever we say we are" in text
        assert "a bad token is refused" in text
        assert "the host is closed" in text
    assert said.split("id i-")[1][:8] != others.split("id i-")[1][:8]
