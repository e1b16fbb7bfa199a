"""RunInstances with volumes, through boto3: shown with their instances at both doors, and gone with those that they end with."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from novaflow.config import Config
from novaflow.db import ec2_ids
from novaflow.db.ec2_ids import Ec2Ids
from novaflow.db.servers import ServerQuery
from novaflow.quotas import QuotaLimits
from tests.support.ec2_door import Door, ec2_door
from tests.support.server_world import IMAGE, World, server_world
from tests.support.volumes import carry_out


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with server_world(tmp_path, Config(quota=QuotaLimits(volumes=3))) as world:
        yield world


@pytest.fixture
async def door(world: World) -> AsyncIterator[Door]:
    async with ec2_door(world.api) as door:
        yield door


def mapping(device: str = "/dev/sdf", **ebs: Any) -> dict[str, Any]:
    return {"DeviceName": device, "Ebs": {"VolumeSize": 1} | ebs}


async def asked(world: World, *mappings: dict[str, Any], count: int = 1) -> dict[str, Any]:
    """What RunInstances is asked."""
    ami = f"ami-{await Ec2Ids(world.api.database).number(ec2_ids.IMAGE, IMAGE):08x}"
    return {
        "ImageId": ami, "InstanceType": "m1.tiny", "MinCount": count, "MaxCount": count,
        "BlockDeviceMappings": list(mappings),
    }  # fmt: skip


async def run(world: World, door: Door, *mappings: dict[str, Any], count: int = 1) -> list[dict[str, Any]]:
    answer = await door.ask("run_instances", **await asked(world, *mappings, count=count))
    made: list[dict[str, Any]] = answer["Instances"]
    return made


async def disks(door: Door, instance: str) -> dict[str, dict[str, Any]]:
    """By device what DescribeInstances shows of an instance's volumes."""
    (one,) = (await door.ask("describe_instances", InstanceIds=[instance]))["Reservations"][0]["Instances"]
    return {disk["DeviceName"]: disk["Ebs"] for disk in one["BlockDeviceMappings"]}


async def found_by(door: Door, name: str, value: str) -> list[str]:
    """The instances that a filter finds."""
    found = await door.ask("describe_instances", Filters=[{"Name": name, "Values": [value]}])
    return [instance["InstanceId"] for one in found["Reservations"] for instance in one["Instances"]]


async def test_instances_have_their_volumes_at_once_and_those_end_with_them(world: World, door: Door) -> None:
    kept = mapping("/dev/xvdh", DeleteOnTermination=False)
    (one,) = await run(world, door, mapping(VolumeSize=2), kept)

    shown = {disk["DeviceName"]: disk["Ebs"] for disk in one["BlockDeviceMappings"]}
    assert shown == await disks(door, one["InstanceId"])
    assert {device: (ebs["Status"], ebs["DeleteOnTermination"]) for device, ebs in shown.items()} == {
        "/dev/vdf": ("attaching", True), "/dev/vdh": ("attaching", False),
    }  # fmt: skip
    found = (await door.ask("describe_volumes"))["Volumes"]
    sizes = {volume["VolumeId"]: (volume["Size"], volume["State"]) for volume in found}
    assert sizes == {shown["/dev/vdf"]["VolumeId"]: (2, "in-use"), shown["/dev/vdh"]["VolumeId"]: (1, "in-use")}
    assert [one["DeleteOnTermination"] for volume in found for one in volume["Attachments"]].count(True) == 1
    ids = {device: ebs["VolumeId"] for device, ebs in shown.items()}
    for name, value in (("volume-id", ids["/dev/vdf"]), ("device-name", "/dev/vdh"), ("delete-on-termination", "true")):
        assert await found_by(door, f"block-device-mapping.{name}", value) == [one["InstanceId"]]
    assert await found_by(door, "block-device-mapping.status", "attached") == []
    by_flag = [{"Name": "attachment.delete-on-termination", "Values": ["true"]}]
    assert [volume["Size"] for volume in (await door.ask("describe_volumes", Filters=by_flag))["Volumes"]] == [2]
    in_use = await door.refusal("delete_volume", VolumeId=shown["/dev/vdh"]["VolumeId"])
    assert in_use == ("VolumeInUse", 400)

    await door.ask("terminate_instances", InstanceIds=[one["InstanceId"]])

    (left,) = (await door.ask("describe_volumes"))["Volumes"]
    assert (left["VolumeId"], left["State"]) == (shown["/dev/vdh"]["VolumeId"], "available")


async def test_a_volume_has_what_a_snapshot_holds(world: World, door: Door) -> None:
    volume = (await door.ask("create_volume", AvailabilityZone="nova", Size=2))["VolumeId"]
    snapshot = (await door.ask("create_snapshot", VolumeId=volume))["SnapshotId"]

    (one,) = await run(world, door, {"DeviceName": "/dev/sdg", "Ebs": {"SnapshotId": snapshot}})

    made = (await disks(door, one["InstanceId"]))["/dev/vdg"]["VolumeId"]
    (shown,) = (await door.ask("describe_volumes", VolumeIds=[made]))["Volumes"]
    assert (shown["Size"], shown["SnapshotId"]) == (2, snapshot)
    small = await asked(world, mapping(SnapshotId=snapshot))
    assert await door.refusal("run_instances", **small) == ("InvalidBlockDeviceMapping", 400)


async def test_a_quota_of_volumes_forbids_the_instances_too(world: World, door: Door) -> None:
    refused = await door.refusal("run_instances", **await asked(world, mapping(), count=4))

    assert refused == ("VolumeLimitExceeded", 400)
    assert await world.servers.list(ServerQuery()) == []
    assert (await door.ask("describe_volumes"))["Volumes"] == []


async def test_the_root_device_may_be_named_as_it_is(world: World, door: Door) -> None:
    roots = ({"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 1, "DeleteOnTermination": True}},)
    left_out = ({"DeviceName": "/dev/sdc", "NoDevice": ""},)

    (one,) = await run(world, door, *roots, *left_out)

    assert await disks(door, one["InstanceId"]) == {}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"DeviceName": "/dev/sdf", "Ebs": {}}, "MissingParameter"),
        ({"Ebs": {"VolumeSize": 1}}, "MissingParameter"),
        ({"DeviceName": "/dev/nvme1", "Ebs": {"VolumeSize": 1}}, "InvalidBlockDeviceMapping"),
        (mapping(VolumeSize=0), "InvalidParameterValue"),
        (mapping(Encrypted=True), "UnsupportedOperation"),
        (mapping(VolumeType="io2"), "UnknownVolumeType"),
        (mapping(Iops=3000), "UnknownParameter"),
        (mapping(SnapshotId="snap-0000ffff"), "InvalidSnapshot.NotFound"),
        ({"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}, "UnsupportedOperation"),
        (mapping("/dev/vda", VolumeSize=9), "InvalidBlockDeviceMapping"),
        (mapping("/dev/vda", Encrypted=True), "UnsupportedOperation"),
        (mapping("/dev/vda", VolumeType="io2"), "UnknownVolumeType"),
        (mapping("/dev/vda", DeleteOnTermination=False), "UnsupportedOperation"),
        (mapping("/dev/vda", SnapshotId="snap-0000ffff"), "UnsupportedOperation"),
    ],
    ids=str,
)
async def test_a_mapping_that_cannot_be_is_refused_and_nothing_is_made(
    world: World, door: Door, given: dict[str, Any], code: str
) -> None:
    whole = await asked(world, mapping("/dev/sdh"), given)

    assert await door.refusal("run_instances", **whole) == (code, 400)
    assert await world.servers.list(ServerQuery()) == []
    assert (await door.ask("describe_volumes"))["Volumes"] == []


async def test_one_device_is_mapped_once(world: World, door: Door) -> None:
    twice = await asked(world, mapping("/dev/sdf"), mapping("/dev/xvdf"))

    assert (await door.refusal("run_instances", **twice))[0] == "InvalidParameterValue"


async def test_whether_a_volume_ends_with_its_instance_can_be_changed(world: World, door: Door) -> None:
    server_id = await world.active()
    instance = f"i-{await Ec2Ids(world.api.database).number(ec2_ids.INSTANCE, server_id):08x}"
    volume = (await door.ask("create_volume", AvailabilityZone="nova", Size=1))["VolumeId"]
    await door.ask("attach_volume", VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    await carry_out(world)

    async def change(device: str, *, ends: bool) -> None:
        mappings = [{"DeviceName": device, "Ebs": {"DeleteOnTermination": ends}}]
        await door.ask("modify_instance_attribute", InstanceId=instance, BlockDeviceMappings=mappings)

    assert (await disks(door, instance))["/dev/vdf"]["DeleteOnTermination"] is False
    await change("/dev/sdf", ends=True)
    assert (await disks(door, instance))["/dev/vdf"]["DeleteOnTermination"] is True
    await change("/dev/vdf", ends=False)
    assert (await disks(door, instance))["/dev/vdf"]["DeleteOnTermination"] is False
    await change("/dev/vda", ends=True)
    for device, ends, code in (("/dev/sdz", True, "InvalidInstanceAttributeValue"), ("/dev/vda", False, "Unsupported")):
        mappings = [{"DeviceName": device, "Ebs": {"DeleteOnTermination": ends}}]
        refused = await door.refusal("modify_instance_attribute", InstanceId=instance, BlockDeviceMappings=mappings)
        assert refused[0].startswith(code)
