"""What is made at one door is seen at the other and ended there, and is gone at the first: in both directions, of every noun."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import pytest

from novaflow.db import ec2_ids
from tests.support.both_doors import BothDoors, both_doors
from tests.support.watching import WHO

KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@example"


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[BothDoors]:
    async with both_doors(tmp_path) as doors:
        yield doors


async def is_there(doors: BothDoors, path: str) -> bool:
    """Whether the Compute API has it."""
    reply = await doors.api.ask("GET", path, who=WHO)
    assert reply.status in (HTTPStatus.OK, HTTPStatus.NOT_FOUND), reply.body
    return reply.status == HTTPStatus.OK


async def listed(doors: BothDoors, operation: str, member: str, key: str) -> list[Any]:
    """What a Describe of EC2 lists."""
    return [one[key] for one in (await doors.ec2.ask(operation))[member]]


async def test_key_pairs(doors: BothDoors) -> None:
    await doors.ask("POST", "/os-keypairs", {"keypair": {"name": "ours", "public_key": KEY}})
    await doors.ec2.ask("import_key_pair", KeyName="theirs", PublicKeyMaterial=KEY)

    assert await listed(doors, "describe_key_pairs", "KeyPairs", "KeyName") == ["ours", "theirs"]
    shown = [one["keypair"] for one in (await doors.ask("GET", "/os-keypairs"))["keypairs"]]
    assert {one["name"]: one["public_key"] for one in shown} == {"ours": KEY, "theirs": KEY}

    await doors.ec2.ask("delete_key_pair", KeyName="ours")
    await doors.ask("DELETE", "/os-keypairs/theirs")

    assert not await is_there(doors, "/os-keypairs/ours")
    assert await listed(doors, "describe_key_pairs", "KeyPairs", "KeyName") == []


async def test_security_groups_and_their_rules(doors: BothDoors) -> None:
    group = {"name": "ours", "description": "d"}
    ours = (await doors.ask("POST", "/os-security-groups", {"security_group": group}))["security_group"]["id"]
    theirs = (await doors.ec2.ask("create_security_group", GroupName="theirs", Description="d"))["GroupId"]
    rule = {"ip_protocol": "tcp", "from_port": 22, "to_port": 22, "cidr": "10.0.0.0/8", "parent_group_id": ours}
    await doors.ask("POST", "/os-security-group-rules", {"security_group_rule": rule})

    names = await listed(doors, "describe_security_groups", "SecurityGroups", "GroupName")
    (found,) = (await doors.ec2.ask("describe_security_groups", GroupNames=["ours"]))["SecurityGroups"]
    shown = {one["name"] for one in (await doors.ask("GET", "/os-security-groups"))["security_groups"]}
    assert shown == set(names) == {"default", "ours", "theirs"}
    (permission,) = found["IpPermissions"]
    assert (permission["FromPort"], permission["IpRanges"]) == (22, [{"CidrIp": "10.0.0.0/8"}])

    await doors.ec2.ask("delete_security_group", GroupName="ours")
    (number,) = [
        one["id"]
        for one in (await doors.ask("GET", "/os-security-groups"))["security_groups"]
        if one["name"] == "theirs"
    ]
    assert int(theirs.removeprefix("sg-"), 16) == int(number)
    await doors.ask("DELETE", f"/os-security-groups/{number}")

    assert not await is_there(doors, f"/os-security-groups/{ours}")
    assert await listed(doors, "describe_security_groups", "SecurityGroups", "GroupName") == ["default"]


async def test_addresses(doors: BothDoors) -> None:
    server = await doors.create()
    instance = await doors.name(ec2_ids.INSTANCE, "i", server)
    ours = (await doors.ask("POST", "/os-floating-ips", {}))["floating_ip"]["ip"]
    theirs = (await doors.ec2.ask("allocate_address"))["PublicIp"]

    await doors.ec2.ask("associate_address", PublicIp=ours, InstanceId=instance)
    await doors.watcher.look()

    shown = {one["ip"]: one for one in (await doors.ask("GET", "/os-floating-ips"))["floating_ips"]}
    assert shown[ours]["instance_id"] == server
    assert sorted(shown) == sorted(await listed(doors, "describe_addresses", "Addresses", "PublicIp"))
    await doors.act(server, "removeFloatingIp", {"address": ours})
    (address,) = (await doors.ec2.ask("describe_addresses", PublicIps=[ours]))["Addresses"]
    assert not address.get("InstanceId")
    await doors.ec2.ask("release_address", PublicIp=ours)
    await doors.ask("DELETE", f"/os-floating-ips/{shown[theirs]['id']}")

    assert (await doors.ask("GET", "/os-floating-ips"))["floating_ips"] == []
    assert await listed(doors, "describe_addresses", "Addresses", "PublicIp") == []


async def becomes(doors: BothDoors, path: str, noun: str, status: str) -> None:
    """Wait until the Compute API says so of a volume or a snapshot."""

    async def is_so() -> bool:
        found: str = (await doors.ask("GET", path))[noun]["status"]
        return found == status

    await doors.cloud.until(is_so)


async def has_none(doors: BothDoors, path: str, operation: str, member: str) -> None:
    """Wait until neither door lists any."""

    async def is_so() -> bool:
        there = (await doors.ask("GET", path))[path.removeprefix("/os-")]
        return not there and not (await doors.ec2.ask(operation))[member]

    await doors.cloud.until(is_so)


async def volumes(doors: BothDoors) -> tuple[tuple[str, str], tuple[str, str]]:
    """A volume made at the Compute API and one made at EC2, each with both its ids."""
    made = await doors.ask("POST", "/os-volumes", {"volume": {"size": 1, "display_name": "ours"}})
    ours = made["volume"]["id"]
    await becomes(doors, f"/os-volumes/{ours}", "volume", "available")
    name = (await doors.ec2.ask("create_volume", Size=1, AvailabilityZone="nova"))["VolumeId"]
    (theirs,) = [one["id"] for one in (await doors.ask("GET", "/os-volumes"))["volumes"] if one["id"] != ours]
    await becomes(doors, f"/os-volumes/{theirs}", "volume", "available")
    return (ours, await doors.name(ec2_ids.VOLUME, "vol", ours)), (theirs, name)


async def test_volumes(doors: BothDoors) -> None:
    (ours, our_name), (theirs, their_name) = await volumes(doors)

    assert {*await listed(doors, "describe_volumes", "Volumes", "VolumeId")} == {our_name, their_name}
    await doors.ec2.ask("delete_volume", VolumeId=our_name)
    await doors.ask("DELETE", f"/os-volumes/{theirs}")

    await has_none(doors, "/os-volumes", "describe_volumes", "Volumes")
    assert [await is_there(doors, f"/os-volumes/{one}") for one in (ours, theirs)] == [False, False]


async def test_attachments(doors: BothDoors) -> None:
    server = await doors.create()
    instance = await doors.name(ec2_ids.INSTANCE, "i", server)
    (ours, our_name), (theirs, their_name) = await volumes(doors)

    await doors.ec2.ask("attach_volume", VolumeId=our_name, InstanceId=instance, Device="/dev/sdf")
    await becomes(doors, f"/os-volumes/{ours}", "volume", "in-use")
    attachment = {"volumeAttachment": {"volumeId": theirs, "device": "/dev/vdg"}}
    await doors.ask("POST", f"/servers/{server}/os-volume_attachments", attachment)
    await becomes(doors, f"/os-volumes/{theirs}", "volume", "in-use")
    await doors.watcher.look()
    attached = (await doors.ec2.ask("describe_volumes"))["Volumes"]
    await doors.ask("DELETE", f"/servers/{server}/os-volume_attachments/{ours}")
    await becomes(doors, f"/os-volumes/{ours}", "volume", "available")
    await doors.ec2.ask("detach_volume", VolumeId=their_name)
    await becomes(doors, f"/os-volumes/{theirs}", "volume", "available")
    await doors.watcher.look()

    assert [(one["State"], one["Attachments"][0]["InstanceId"]) for one in attached] == [("in-use", instance)] * 2
    assert (await doors.ask("GET", f"/servers/{server}/os-volume_attachments"))["volumeAttachments"] == []


async def test_snapshots_of_volumes(doors: BothDoors) -> None:
    (ours, _), (_, their_name) = await volumes(doors)
    made = await doors.ask("POST", "/os-snapshots", {"snapshot": {"volume_id": ours}})
    our_name = await doors.name(ec2_ids.SNAPSHOT, "snap", made["snapshot"]["id"])
    their_shot = (await doors.ec2.ask("create_snapshot", VolumeId=their_name))["SnapshotId"]

    shown = (await doors.ask("GET", "/os-snapshots"))["snapshots"]
    for one in shown:
        await becomes(doors, f"/os-snapshots/{one['id']}", "snapshot", "available")
    found = (await doors.ec2.ask("describe_snapshots"))["Snapshots"]
    assert {one["SnapshotId"]: one["State"] for one in found} == {our_name: "completed", their_shot: "completed"}
    (theirs,) = [one["id"] for one in shown if one["id"] != made["snapshot"]["id"]]
    await doors.ec2.ask("delete_snapshot", SnapshotId=our_name)
    await doors.ask("DELETE", f"/os-snapshots/{theirs}")

    await has_none(doors, "/os-snapshots", "describe_snapshots", "Snapshots")


async def test_images(doors: BothDoors) -> None:
    server = await doors.create()
    instance = await doors.name(ec2_ids.INSTANCE, "i", server)
    headers = {"X-Auth-Token": WHO}

    body = {"createImage": {"name": "ours"}}
    made = await doors.api.ask("POST", f"/servers/{server}/action", body, who=WHO)
    ours = made.headers["Location"].rpartition("/")[2]
    await doors.rest(server)
    our_name = await doors.name(ec2_ids.IMAGE, "ami", ours)
    their_name = (await doors.ec2.ask("create_image", InstanceId=instance, Name="theirs"))["ImageId"]
    await doors.rest(server)
    found = (await doors.ec2.ask("describe_images", Owners=["self"]))["Images"]
    async with doors.api.http.get(doors.images, headers=headers) as reply:
        shown = {one["name"]: one["id"] for one in (await reply.json())["images"]}
    assert {one["Name"]: (one["ImageId"], one["State"]) for one in found} == {
        "ours": (our_name, "available"),
        "theirs": (their_name, "available"),
    }
    assert shown.keys() == {"disk", "ours", "theirs"}

    await doors.ec2.ask("deregister_image", ImageId=our_name)
    async with doors.api.http.delete(f"{doors.images}/{shown['theirs']}", headers=headers) as reply:
        assert reply.status == HTTPStatus.NO_CONTENT

    async with doors.api.http.get(f"{doors.images}/{ours}", headers=headers) as reply:
        assert reply.status == HTTPStatus.NOT_FOUND
    assert (await doors.ec2.ask("describe_images", Owners=["self"]))["Images"] == []


async def test_tags_of_instances_and_metadata_of_servers(doors: BothDoors) -> None:
    server = await doors.create(metadata={"a": "1"})
    instance = await doors.name(ec2_ids.INSTANCE, "i", server)

    await doors.ec2.ask("create_tags", Resources=[instance], Tags=[{"Key": "b", "Value": "2"}])
    await doors.ask("PUT", f"/servers/{server}/metadata/c", {"meta": {"c": "3"}})
    await doors.watcher.look()
    await doors.ec2.ask("delete_tags", Resources=[instance], Tags=[{"Key": "c"}])
    await doors.ask("DELETE", f"/servers/{server}/metadata/b")
    await doors.watcher.look()

    assert (await doors.ask("GET", f"/servers/{server}/metadata"))["metadata"] == {"a": "1"}
    tags = (await doors.ec2.ask("describe_tags"))["Tags"]
    assert [(one["ResourceId"], one["Key"], one["Value"]) for one in tags] == [(instance, "a", "1")]
