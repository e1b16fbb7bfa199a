"""The unmodified `openstack` client does a user's day of work, on both ways to run a cloud, with real guests."""

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.conftest import client_of
from tests.support.clients import CommandFailed, OpenStackClient

USER_DATA = '#!/bin/sh\necho "user data ran on $(hostname)"\n'
EMBEDDED: tuple[str, ...] = ()
PROCESSES = ("--processes", "--bus", "private", "--db", "private")
GUEST_IMAGE = "novaflow-guest"
RUNNING = (1, "Running")  # as JSON has it, and as the client says it to people


@pytest.mark.timeout(600)
@pytest.mark.parametrize("arguments", [EMBEDDED, PROCESSES], ids=["embedded", "processes-rabbitmq-mariadb"])
async def test_a_user_works_through_the_openstack_client(
    arguments: tuple[str, ...], state_dir: Path, openstack_bin: Path, tmp_path: Path
) -> None:
    async with client_of(state_dir, openstack_bin, *arguments) as openstack:
        await makes_a_project_and_a_user(openstack)
        await keeps_an_image(openstack, tmp_path)
        await makes_a_flavor_and_a_keypair(openstack)
        server_id = await boots_a_server(openstack, tmp_path)
        await reads_its_console(openstack, server_id)
        await works_the_power_switch(openstack, server_id)
        await looks_around(openstack, server_id)
        await openstack.text("server", "delete", "--wait", "web")
        assert await openstack.json("server", "list") == []
        with pytest.raises(CommandFailed, match="No Server found for web"):
            await openstack.text("server", "show", "web")


async def makes_a_project_and_a_user(openstack: OpenStackClient) -> None:
    project = await openstack.json("project", "create", "--description", "for tests", "blue")
    user = await openstack.json("user", "create", "--project", "blue", "--password", "s3cret", "ann")
    await openstack.text("role", "add", "--project", "blue", "--user", "ann", "member")

    granted = await openstack.json("role", "assignment", "list", "--names", "--user", "ann")

    assert (project["name"], project["enabled"], user["name"]) == ("blue", True, "ann")
    assert [(row["Role"], row["User"], row["Project"]) for row in granted] == [
        ("member", "ann@Default", "blue@Default")
    ]
    services = {row["Name"]: row for row in await openstack.json("catalog", "list")}
    assert {row["Type"] for row in services.values()} >= {"identity", "image", "compute"}
    assert (await openstack.json("token", "issue"))["project_id"]


async def keeps_an_image(openstack: OpenStackClient, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096
    (tmp_path / "up.raw").write_bytes(data)

    made = await openstack.json("image", "create", "--disk-format", "raw", "--file", str(tmp_path / "up.raw"), "plain")
    await openstack.text("image", "set", "--property", "purpose=test", "plain")
    await openstack.text("image", "save", "--file", str(tmp_path / "down.raw"), "plain")

    shown = await openstack.json("image", "show", made["id"])
    assert (shown["status"], shown["size"], shown["properties"]["purpose"]) == ("active", len(data), "test")
    assert (tmp_path / "down.raw").read_bytes() == data
    await openstack.text("image", "delete", "plain")


async def makes_a_flavor_and_a_keypair(openstack: OpenStackClient) -> None:
    defaults = await openstack.json("flavor", "list")
    assert [row["Name"] for row in sorted(defaults, key=lambda row: str(row["ID"]))] == [
        "m1.tiny", "m1.small", "m1.medium", "m1.large", "m1.xlarge",
    ]  # fmt: skip

    flavor = await openstack.json("flavor", "create", "--ram", "256", "--vcpus", "1", "--disk", "1", "m1.micro")
    assert (flavor["ram"], flavor["vcpus"], flavor["disk"]) == (256, 1, 1)
    private_key = await openstack.text("keypair", "create", "key")
    assert "PRIVATE KEY" in private_key
    assert [row["Name"] for row in await openstack.json("keypair", "list")] == ["key"]


async def boots_a_server(openstack: OpenStackClient, tmp_path: Path) -> str:
    await image_is_there(openstack)
    script = tmp_path / "user-data"
    script.write_text(USER_DATA)

    server = await openstack.json(
        *("server", "create", "--wait", "--image", GUEST_IMAGE, "--flavor", "m1.micro", "--key-name", "key"),
        *("--user-data", str(script), "--config-drive", "True", "--property", "role=web", "web"),
    )

    assert server["status"] == "ACTIVE"
    shown = await openstack.json("server", "show", server["id"])
    assert shown["OS-EXT-STS:power_state"] in RUNNING
    assert (shown["properties"], shown["key_name"], shown["OS-EXT-STS:vm_state"]) == ({"role": "web"}, "key", "active")
    return str(server["id"])


async def image_is_there(openstack: OpenStackClient) -> None:
    """The cloud builds and uploads its guest image by itself, soon after it is ready."""
    async with asyncio.timeout(120):
        while GUEST_IMAGE not in [row["Name"] for row in await openstack.json("image", "list", "--public")]:
            await asyncio.sleep(0.5)


async def reads_its_console(openstack: OpenStackClient, server_id: str) -> None:
    await console_says(openstack, server_id, "user data ran on web")
    assert f"instance-id {server_id}" in await openstack.text("console", "log", "show", server_id)


async def console_says(openstack: OpenStackClient, server_id: str, words: str) -> None:
    async with asyncio.timeout(240):
        while words not in await openstack.text("console", "log", "show", server_id):
            await asyncio.sleep(1)


async def works_the_power_switch(openstack: OpenStackClient, server_id: str) -> None:
    await openstack.text("server", "stop", "web")
    await status_is(openstack, server_id, "SHUTOFF")
    assert (await openstack.json("server", "show", server_id))["OS-EXT-STS:power_state"] in (4, "Shutdown")
    await openstack.text("server", "start", "web")
    await status_is(openstack, server_id, "ACTIVE")
    await console_says(openstack, server_id, "guest: boot 2")
    await openstack.text("server", "reboot", "--hard", "--wait", "web")
    await status_is(openstack, server_id, "ACTIVE")
    await console_says(openstack, server_id, "guest: boot 3")


async def status_is(openstack: OpenStackClient, server_id: str, wanted: str) -> None:
    async with asyncio.timeout(120):
        while (server := await openstack.json("server", "show", server_id))["status"] != wanted:
            assert server["status"] != "ERROR", server
            await asyncio.sleep(0.3)


async def looks_around(openstack: OpenStackClient, server_id: str) -> None:
    [listed] = await openstack.json("server", "list", "--long")
    events = {row["Action"] for row in await openstack.json("server", "event", "list", server_id)}
    [hypervisor] = await openstack.json("hypervisor", "list")
    services = {row["Binary"]: row for row in await openstack.json("compute", "service", "list")}
    quota = {row["Resource"]: row["Limit"] for row in await openstack.json("quota", "show")}
    limits = {row["Name"]: row["Value"] for row in await openstack.json("limits", "show", "--absolute")}

    assert (listed["Name"], listed["Status"]) == ("web", "ACTIVE")
    assert listed["Power State"] in RUNNING
    assert (listed["Image Name"], listed["Flavor Name"]) == (GUEST_IMAGE, "m1.micro")
    assert events >= {"create", "stop", "start", "reboot"}
    assert (hypervisor["State"], hypervisor["Hypervisor Type"]) == ("up", "QEMU")
    assert set(services) == {"nova-scheduler", "nova-conductor", "nova-compute"}
    assert {row["State"] for row in services.values()} == {"up"}
    assert (quota["instances"], quota["cores"], quota["ram"]) == (10, 20, 51200)
    assert (limits["instances_used"], limits["total_cores_used"], limits["total_ram_used"]) == (1, 1, 256)
