"""Volumes and snapshots through boto3: the same that the other door shows."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from novaflow.config import Config
from novaflow.db import ec2_ids
from novaflow.db.ec2_ids import Ec2Ids
from novaflow.quotas import QuotaLimits
from tests.support.ec2_door import Door
from tests.support.server_world import World, server_world
from tests.support.volumes import carry_out

ZONE = "nova"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with server_world(tmp_path, Config(quota=QuotaLimits(volumes=3))) as world:
        yield world


async def make(door: Door, **more: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"AvailabilityZone": ZONE, "Size": 1} | more
    return await door.ask("create_volume", **asked)


async def instance(world: World) -> tuple[str, str]:
    """A server that runs, by both its ids."""
    server_id = await world.active()
    return server_id, f"i-{await Ec2Ids(world.api.database).number(ec2_ids.INSTANCE, server_id):08x}"


async def described(door: Door, **asked: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await door.ask("describe_volumes", **asked))["Volumes"]
    return found


async def test_a_volume_is_made_tagged_found_and_deleted(world: World, door: Door) -> None:
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "role", "Value": "data"}]}]

    made = await make(door, TagSpecifications=tags)

    assert (made["State"], made["Size"], made["VolumeType"], made["Encrypted"]) == ("available", 1, "standard", False)
    assert (made["Attachments"], made["SnapshotId"], made["AvailabilityZone"]) == ([], "", ZONE)
    assert made["Tags"] == tags[0]["Tags"]
    await make(door)
    by_tag = await described(door, Filters=[{"Name": "tag:role", "Values": ["d*"]}])
    assert [one["VolumeId"] for one in by_tag] == [made["VolumeId"]]
    assert len((await world.api.get("/os-volumes", who="alice"))["volumes"]) == 2
    assert await described(door, VolumeIds=[made["VolumeId"]]) == [made]
    assert [len(page) for page in await door.pages("describe_volumes", "Volumes", 1)] == [1, 1]
    assert await door.refusal("delete_volume", who="bob", VolumeId=made["VolumeId"]) == ("InvalidVolume.NotFound", 400)

    await door.ask("delete_volume", VolumeId=made["VolumeId"])

    assert await door.refusal("describe_volumes", VolumeIds=[made["VolumeId"]]) == ("InvalidVolume.NotFound", 400)
    assert await door.refusal("describe_volumes", VolumeIds=["vol-x"]) == ("InvalidVolumeID.Malformed", 400)


async def test_a_client_token_makes_one_volume(world: World, door: Door) -> None:
    first = await make(door, ClientToken="once")

    assert await make(door, ClientToken="once") == first
    refused = await door.refusal("create_volume", AvailabilityZone=ZONE, Size=2, ClientToken="once")
    assert refused == ("IdempotentParameterMismatch", HTTPStatus.BAD_REQUEST)
    assert len(await described(door)) == 1


async def test_a_client_token_of_a_deleted_volume_makes_no_other(door: Door) -> None:
    first = await make(door, ClientToken="once")
    await door.ask("delete_volume", VolumeId=first["VolumeId"])

    again = await make(door, ClientToken="once")

    assert (again["VolumeId"], again["State"]) == (first["VolumeId"], "deleted")
    assert await described(door) == []


async def test_of_two_sizes_with_one_client_token_in_one_moment_one_is_made(door: Door) -> None:
    made = await asyncio.gather(*(make(door, Size=size, ClientToken="once") for size in (1, 2)), return_exceptions=True)

    (answered,) = [one for one in made if isinstance(one, dict)]
    (refused,) = [one for one in made if isinstance(one, ClientError)]
    assert refused.response["Error"]["Code"] == "IdempotentParameterMismatch"
    assert await described(door) == [answered]


async def test_tags_are_given_to_what_the_project_has_by_any_of_its_ids_and_end_with_it(door: Door) -> None:
    volume_id = (await make(door))["VolumeId"]
    long, tags = f"vol-{volume_id.removeprefix('vol-'):0>17}", [{"Key": "role", "Value": "data"}]
    theirs: dict[str, Any] = {"Resources": [volume_id], "Tags": tags}
    assert await door.refusal("create_tags", who="bob", **theirs) == ("InvalidVolume.NotFound", 400)

    await door.ask("create_tags", Resources=[long], Tags=tags)

    assert [one["Tags"] for one in await described(door)] == [tags]
    (tag,) = (await door.ask("describe_tags"))["Tags"]
    assert tag == {"Key": "role", "ResourceId": volume_id, "ResourceType": "volume", "Value": "data"}
    await door.ask("delete_volume", VolumeId=volume_id)
    assert (await door.ask("describe_tags"))["Tags"] == []


async def test_tags_of_what_was_deleted_at_the_other_door_are_not_shown(world: World, door: Door) -> None:
    volume_id = (await make(door))["VolumeId"]
    await door.ask("create_tags", Resources=[volume_id], Tags=[{"Key": "role", "Value": "data"}])
    ((volume,),) = (await world.api.get("/os-volumes", who="alice")).values()

    await world.api.ask("DELETE", f"/os-volumes/{volume['id']}", who="alice")

    assert (await door.ask("describe_tags"))["Tags"] == []


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"AvailabilityZone": "mars"}, "InvalidZone.NotFound"),
        ({"Encrypted": True}, "UnsupportedOperation"),
        ({"VolumeType": "io2"}, "UnknownVolumeType"),
        ({"Size": 0}, "InvalidParameterValue"),
        ({"SnapshotId": "snap-0000ffff"}, "InvalidSnapshot.NotFound"),
    ],
    ids=str,
)
async def test_a_volume_that_cannot_be_is_refused(door: Door, asked: dict[str, Any], code: str) -> None:
    whole: dict[str, Any] = {"AvailabilityZone": ZONE, "Size": 1} | asked
    refused = await door.refusal("create_volume", **whole)

    assert refused == (code, HTTPStatus.BAD_REQUEST)


async def test_there_are_no_more_volumes_than_the_quota_has(door: Door) -> None:
    for _ in range(3):
        await make(door)

    assert await door.refusal("create_volume", AvailabilityZone=ZONE, Size=1) == ("VolumeLimitExceeded", 400)


async def test_an_instance_gets_a_volume_and_gives_it_back(world: World, door: Door) -> None:
    server_id, instance_id = await instance(world)
    volume_id = (await make(door))["VolumeId"]

    attaching = await door.ask("attach_volume", VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf")

    named = (attaching["VolumeId"], attaching["InstanceId"], attaching["Device"], attaching["State"])
    assert named == (volume_id, instance_id, "/dev/vdf", "attaching")
    await carry_out(world)
    await door.wait("volume_in_use", VolumeIds=[volume_id])
    (volume,) = await described(door, Filters=[{"Name": "attachment.instance-id", "Values": [instance_id]}])
    assert (volume["State"], volume["Attachments"][0]["State"]) == ("in-use", "attached")
    other = await world.api.get(f"/servers/{server_id}/os-volume_attachments", who="alice")
    assert [one["device"] for one in other["volumeAttachments"]] == ["/dev/vdf"]

    (one,) = (await door.ask("describe_instances", InstanceIds=[instance_id]))["Reservations"][0]["Instances"]
    (disk,) = one["BlockDeviceMappings"]
    assert (disk["DeviceName"], disk["Ebs"]["VolumeId"], disk["Ebs"]["Status"]) == ("/dev/vdf", volume_id, "attached")

    in_use = {"VolumeId": volume_id, "InstanceId": instance_id, "Device": "/dev/sdg"}
    assert await door.refusal("attach_volume", **in_use) == ("VolumeInUse", 400)
    in_its_place = {"VolumeId": (await make(door))["VolumeId"], "InstanceId": instance_id, "Device": "/dev/sdf"}
    assert await door.refusal("attach_volume", **in_its_place) == ("InvalidParameterValue", 400)
    assert await door.refusal("delete_volume", VolumeId=volume_id) == ("VolumeInUse", 400)

    long = f"i-{instance_id.removeprefix('i-'):0>17}"
    assert (await door.ask("detach_volume", VolumeId=volume_id, InstanceId=long))["State"] == "detaching"
    await carry_out(world)
    await door.wait("volume_available", VolumeIds=[volume_id])
    again = {"VolumeId": volume_id, "InstanceId": instance_id}
    assert await door.refusal("detach_volume", **again) == ("IncorrectState", 400)


async def test_a_snapshot_is_made_described_made_a_volume_of_and_deleted(world: World, door: Door) -> None:
    _, instance_id = await instance(world)
    volume_id = (await make(door))["VolumeId"]
    await door.ask("attach_volume", VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf")
    await carry_out(world)

    made = await door.ask("create_snapshot", VolumeId=volume_id, Description="monday")

    assert (made["State"], made["VolumeId"], made["VolumeSize"], made["Description"]) == (
        "pending", volume_id, 1, "monday",
    )  # fmt: skip
    await carry_out(world)
    await door.wait("snapshot_completed", SnapshotIds=[made["SnapshotId"]])
    (snapshot,) = (await door.ask("describe_snapshots", OwnerIds=["self"]))["Snapshots"]
    assert (snapshot["SnapshotId"], snapshot["Progress"]) == (made["SnapshotId"], "100%")
    assert (await door.ask("describe_snapshots", who="bob"))["Snapshots"] == []

    second = await door.ask("create_volume", AvailabilityZone=ZONE, SnapshotId=made["SnapshotId"])
    assert (second["State"], second["Size"], second["SnapshotId"]) == ("creating", 1, made["SnapshotId"])
    await carry_out(world)
    await door.ask("delete_snapshot", SnapshotId=made["SnapshotId"])
    await carry_out(world)
    gone = [made["SnapshotId"]]
    assert await door.refusal("describe_snapshots", SnapshotIds=gone) == ("InvalidSnapshot.NotFound", 400)
