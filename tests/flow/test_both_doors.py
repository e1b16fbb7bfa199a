"""One cloud, two doors: whatever is done at one of them is seen at both, in every moment of it."""

from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import msgspec

from novaflow.db import ec2_ids
from novaflow.states import Vm
from tests.support.both_doors import CONFIG, BothDoors, both_doors
from tests.support.gates import Broken
from tests.support.rest_actions import TWIN
from tests.support.watching import WHO

KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@example"
TAGS: Final = [{"ResourceType": "instance", "Tags": [{"Key": "role", "Value": "web"}]}]
# What the Compute API is told, in this order, and what the server is afterwards at both doors.
LIFE: Final[tuple[tuple[str, object, str, str], ...]] = (
    ("pause", None, "PAUSED", "running"),
    ("unpause", None, "ACTIVE", "running"),
    ("suspend", None, "SUSPENDED", "stopped"),
    ("resume", None, "ACTIVE", "running"),
    ("rescue", None, "RESCUE", "running"),
    ("unrescue", None, "ACTIVE", "running"),
    ("reboot", {"type": "SOFT"}, "ACTIVE", "running"),
    ("reboot", {"type": "HARD"}, "ACTIVE", "running"),
    ("os-stop", None, "SHUTOFF", "stopped"),
    ("rescue", None, "RESCUE", "running"),
    ("unrescue", None, "ACTIVE", "running"),
    ("os-stop", None, "SHUTOFF", "stopped"),
    ("reboot", {"type": "HARD"}, "ACTIVE", "running"),
    ("createImage", {"name": "copy"}, "ACTIVE", "running"),
    ("createBackup", {"name": "backup", "backup_type": "daily", "rotation": 1}, "ACTIVE", "running"),
    ("os-migrateLive", {"host": None, "block_migration": True, "disk_over_commit": False}, "ACTIVE", "running"),
    ("resize", {"flavorRef": "twin"}, "VERIFY_RESIZE", "running"),
    ("confirmResize", None, "ACTIVE", "running"),
    ("migrate", None, "VERIFY_RESIZE", "running"),
    ("revertResize", None, "ACTIVE", "running"),
    ("os-stop", None, "SHUTOFF", "stopped"),
    ("resize", {"flavorRef": "1"}, "VERIFY_RESIZE", "stopped"),
    ("confirmResize", None, "SHUTOFF", "stopped"),
    ("migrate", None, "VERIFY_RESIZE", "stopped"),
    ("revertResize", None, "SHUTOFF", "stopped"),
    ("rebuild", {"imageRef": "IMAGE"}, "SHUTOFF", "stopped"),
    ("os-start", None, "ACTIVE", "running"),
    ("rebuild", {"imageRef": "IMAGE"}, "ACTIVE", "running"),
    ("shelve", None, "SHELVED", "stopped"),
    ("unshelve", None, "ACTIVE", "running"),
    ("shelve", None, "SHELVED", "stopped"),
    ("shelveOffload", None, "SHELVED_OFFLOADED", "stopped"),
    ("unshelve", None, "ACTIVE", "running"),
    ("suspend", None, "SUSPENDED", "stopped"),
    ("reboot", {"type": "HARD"}, "ACTIVE", "running"),
    ("os-resetState", {"state": "error"}, "ERROR", "stopped"),
    ("rebuild", {"imageRef": "IMAGE"}, "ACTIVE", "running"),
)


# How a server gets where it is terminated from, and what EC2 calls that.
ENDS: Final[tuple[tuple[tuple[tuple[str, object], ...], str], ...]] = (
    ((("pause", None),), "running"),
    ((("suspend", None),), "stopped"),
    ((("os-stop", None),), "stopped"),
    ((("rescue", None),), "running"),
    ((("migrate", None),), "running"),
    ((("shelve", None),), "stopped"),
    ((("shelve", None), ("shelveOffload", None)), "stopped"),
    ((("os-resetState", {"state": "error"}),), "stopped"),
)


async def state(doors: BothDoors, server: str) -> tuple[str, str]:
    """The status at the one door, the state at the other."""
    instance = await doors.name(ec2_ids.INSTANCE, "i", server)
    (group,) = (await doors.ec2.ask("describe_instances", InstanceIds=[instance]))["Reservations"]
    status = (await doors.ask("GET", f"/servers/{server}"))["server"]["status"]
    return status, group["Instances"][0]["State"]["Name"]


async def test_what_ec2_does_to_instances_is_seen_at_both_doors(tmp_path: Path) -> None:
    async with both_doors(tmp_path) as doors:
        await doors.ec2.ask("import_key_pair", KeyName="mine", PublicKeyMaterial=KEY)
        run = {"ImageId": await doors.name(ec2_ids.IMAGE, "ami", doors.image), "InstanceType": "m1.tiny"}
        made = await doors.ec2.ask(
            "run_instances", **run, KeyName="mine", MinCount=2, MaxCount=2, TagSpecifications=TAGS
        )
        instances = [one["InstanceId"] for one in made["Instances"]]
        servers = [one["id"] for one in (await doors.ask("GET", "/servers"))["servers"]]

        async def done(operation: str, **asked: Any) -> None:
            await doors.ec2.ask(operation, **(asked or {"InstanceIds": instances}))
            for server in servers:
                await doors.rest(server)

        for server in servers:
            await doors.rest(server)
        await done("create_tags", Resources=instances, Tags=[{"Key": "Name", "Value": "first"}])
        await done("stop_instances")
        await done("reboot_instances")  # what is off is switched on
        await done("stop_instances")
        await done("start_instances")
        await done("reboot_instances")
        await done("create_image", InstanceId=instances[0], Name="copy")
        await done("terminate_instances")

        reservations = (await doors.ec2.ask("describe_instances", InstanceIds=instances))["Reservations"]
        assert {one["State"]["Name"] for group in reservations for one in group["Instances"]} == {"terminated"}
        assert (await doors.ask("GET", "/servers"))["servers"] == []
        assert await doors.history() <= doors.watcher.seen
        assert {vm for _, vm, _ in doors.watcher.seen} == {"building", "active", "stopped", "deleted"}


async def test_an_instance_is_terminated_from_wherever_the_compute_api_brought_it(tmp_path: Path) -> None:
    async with both_doors(tmp_path) as doors:
        for steps, word in ENDS:
            server = await doors.create()
            instance = await doors.name(ec2_ids.INSTANCE, "i", server)
            for action, argument in steps:
                await doors.act(server, action, argument)

            answer = await doors.ec2.ask("terminate_instances", InstanceIds=[instance])
            await doors.rest(server)

            (change,) = answer["TerminatingInstances"]
            assert change["PreviousState"]["Name"] == word, steps
            assert change["CurrentState"]["Name"] in ("shutting-down", "terminated")
            assert (await doors.api.ask("GET", f"/servers/{server}", who=WHO)).status == HTTPStatus.NOT_FOUND
        assert await doors.history() <= doors.watcher.seen
        # One that no host has is gone at once.
        left = {vm for _, vm, task in doors.watcher.seen if task == "deleting"}
        assert left == {"paused", "suspended", "stopped", "rescued", "resized", "shelved", "error"}


async def test_a_deleted_server_that_may_come_back_is_terminated_until_it_does(tmp_path: Path) -> None:
    compute = msgspec.structs.replace(CONFIG.compute, reclaim_instance_interval=3600.0)
    async with both_doors(tmp_path, msgspec.structs.replace(CONFIG, compute=compute)) as doors:
        server = await doors.create()
        instance = await doors.name(ec2_ids.INSTANCE, "i", server)

        await doors.ec2.ask("terminate_instances", InstanceIds=[instance])
        await doors.rest(server)
        deleted = await state(doors, server)
        await doors.act(server, "restore")
        restored = await state(doors, server)
        await doors.ask("DELETE", f"/servers/{server}")
        await doors.rest(server)
        await doors.act(server, "forceDelete")

        assert (deleted, restored) == (("SOFT_DELETED", "terminated"), ("ACTIVE", "running"))
        assert await doors.history() <= doors.watcher.seen
        assert {"soft-delete", "deleted"} <= {vm for _, vm, _ in doors.watcher.seen}


async def test_both_doors_say_why_a_server_could_not_be_made(tmp_path: Path) -> None:
    async with both_doors(tmp_path, before=Broken("spawn")) as doors:
        server = await doors.create()
        instance = await doors.name(ec2_ids.INSTANCE, "i", server)
        (group,) = (await doors.ec2.ask("describe_instances", InstanceIds=[instance]))["Reservations"]
        fault = (await doors.ask("GET", f"/servers/{server}"))["server"]["fault"]["message"]

        assert await state(doors, server) == ("ERROR", "terminated")
        assert group["Instances"][0]["StateReason"] == {
            "Code": "Server.InternalError",
            "Message": f"Server.InternalError: {fault}",
        }
        await doors.ec2.ask("terminate_instances", InstanceIds=[instance])
        await doors.rest(server)

        assert (await doors.ask("GET", "/servers"))["servers"] == []
        assert await doors.history() <= doors.watcher.seen


async def test_both_doors_say_why_a_server_has_broken(tmp_path: Path) -> None:
    broken = Broken("rescue", times=0)
    async with both_doors(tmp_path, before=broken) as doors:
        server = await doors.create()
        broken.times = 1

        await doors.act(server, "rescue")
        assert await state(doors, server) == ("ERROR", "stopped")
        await doors.act(server, "reboot", {"type": "HARD"})

        assert await state(doors, server) == ("ACTIVE", "running")
        assert await doors.history() <= doors.watcher.seen


async def test_what_the_compute_api_does_to_a_server_is_seen_at_both_doors(tmp_path: Path) -> None:
    async with both_doors(tmp_path) as doors:
        await doors.api.ask("POST", "/flavors", {"flavor": TWIN})
        await doors.ask("POST", "/os-keypairs", {"keypair": {"name": "mine", "public_key": KEY}})
        server = await doors.create(key_name="mine", metadata={"role": "web"})

        for action, argument, status, word in LIFE:
            told = {"imageRef": doors.image} if action == "rebuild" else argument
            await doors.act(server, action, told)
            assert await state(doors, server) == (status, word), action
        await doors.ask("DELETE", f"/servers/{server}")
        await doors.rest(server)

        assert await doors.history() <= doors.watcher.seen
        assert {vm for _, vm, _ in doors.watcher.seen} == {one.value for one in Vm} - {"soft-delete"}
