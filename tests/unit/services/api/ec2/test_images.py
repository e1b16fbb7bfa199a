"""Images through boto3, over an image service that is as strict as the real one about whose they are."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from novaflow.db import ec2_ids
from novaflow.db.ec2_ids import Ec2Ids
from tests.support.compute_api import OTHER_PROJECT, PROJECT
from tests.support.ec2_door import Door
from tests.support.server_world import IMAGE, World, server_world

MINE = "22222222-2222-4222-8222-222222222222"
THEIRS = "33333333-3333-4333-8333-333333333333"
KERNEL = "44444444-4444-4444-8444-444444444444"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with server_world(tmp_path) as world:
        world.glance.add(
            MINE,
            name="mine",
            visibility="private",
            owner=PROJECT,
            created_at="2013-10-17T12:00:00Z",
            kernel_id=KERNEL,
            description="my own",
        )
        world.glance.add(THEIRS, name="theirs", visibility="private", owner=OTHER_PROJECT)
        world.glance.add(KERNEL, name="linux", container_format="aki", disk_format="aki")
        yield world


async def named(world: World, image_id: str, prefix: str = "ami") -> str:
    return f"{prefix}-{await Ec2Ids(world.api.database).number(ec2_ids.IMAGE, image_id):08x}"


async def described(door: Door, **asked: Any) -> dict[str, dict[str, Any]]:
    """What DescribeImages shows, by name."""
    return {image["Name"]: image for image in (await door.ask("describe_images", **asked))["Images"]}


async def test_the_callers_images_and_public_ones_are_shown(world: World, door: Door) -> None:
    found = await described(door)

    assert found.keys() == {"tiny", "mine", "linux"}
    mine, linux = found["mine"], found["linux"]
    assert (mine["State"], mine["Public"], mine["OwnerId"], mine["Description"]) == (
        "available",
        False,
        PROJECT,
        "my own",
    )
    assert mine["ImageId"] == await named(world, MINE)
    assert mine["CreationDate"] == "2013-10-17T12:00:00.000Z"
    assert mine["KernelId"] == linux["ImageId"] == await named(world, KERNEL, "aki")
    assert (mine["ImageType"], linux["ImageType"]) == ("machine", "kernel")


async def test_images_are_found_by_id_owner_and_filter(world: World, door: Door) -> None:
    ids = [await named(world, IMAGE), await named(world, MINE)]

    assert (await described(door, ImageIds=ids)).keys() == {"tiny", "mine"}
    assert (await described(door, Owners=["self"])).keys() == {"mine"}
    assert (await described(door, Filters=[{"Name": "name", "Values": ["li*", "mi?e"]}])).keys() == {"linux", "mine"}
    assert (await described(door, Filters=[{"Name": "creation-date", "Values": ["2013-*"]}])).keys() == {"mine"}
    assert (await described(door, ExecutableUsers=["all"])).keys() == {"tiny", "linux"}
    mine = await named(world, MINE)
    assert (await described(door, ImageIds=[mine, mine, f"ami-{mine[4:]:0>17}"])).keys() == {"mine"}
    unknown = await door.refusal("describe_images", ImageIds=[await named(world, THEIRS)])
    assert unknown == ("InvalidAMIID.NotFound", 400)


async def test_an_image_is_made_of_an_instance_and_is_pending_until_it_is_there(world: World, door: Door) -> None:
    server_id = await world.active()
    instance = f"i-{await Ec2Ids(world.api.database).number(ec2_ids.INSTANCE, server_id):08x}"

    tags = [{"ResourceType": "image", "Tags": [{"Key": "stage", "Value": "test"}]}]
    made = await door.ask("create_image", InstanceId=instance, Name="copy", Description="of it", TagSpecifications=tags)

    method, order = await world.order()
    assert (method.rpartition(".")[2], order.server_id) == ("snapshot_instance", server_id)
    image = (await described(door, ImageIds=[made["ImageId"]]))["copy"]
    assert (image["State"], image["OwnerId"], image["Description"]) == ("pending", PROJECT, "of it")
    assert image["Tags"] == tags[0]["Tags"]
    tagged = [{"Name": "tag:stage", "Values": ["test"]}]
    assert (await described(door, Filters=tagged)).keys() == {"copy"}
    assert (await world.show(server_id))["OS-EXT-STS:task_state"] == "image_snapshot_pending"


async def test_an_image_that_the_caller_does_not_see_boots_nothing(world: World, door: Door) -> None:
    theirs, mine = await named(world, THEIRS), await named(world, MINE)

    for images in ({"ImageId": theirs}, {"ImageId": mine, "KernelId": f"aki-{theirs[4:]}"}):
        refused = await door.refusal("run_instances", MinCount=1, MaxCount=1, InstanceType="m1.tiny", **images)
        assert refused == ("InvalidAMIID.NotFound", 400)


async def test_an_image_is_removed_by_its_owner_alone(world: World, door: Door) -> None:
    mine, theirs = await named(world, MINE), await named(world, THEIRS)

    assert await door.refusal("deregister_image", ImageId=theirs) == ("InvalidAMIID.NotFound", 400)
    await door.ask("deregister_image", ImageId=mine)

    assert MINE not in world.glance.images
    assert THEIRS in world.glance.images
    assert await door.refusal("describe_images", ImageIds=[mine]) == ("InvalidAMIID.NotFound", 400)


async def test_attributes_are_shown_and_changed(world: World, door: Door) -> None:
    mine = await named(world, MINE)

    kernel = await door.ask("describe_image_attribute", ImageId=mine, Attribute="kernel")
    assert kernel["KernelId"]["Value"] == await named(world, KERNEL, "aki")

    await door.ask("modify_image_attribute", ImageId=mine, Description={"Value": "another"})
    said = await door.ask("describe_image_attribute", ImageId=mine, Attribute="description")
    assert said["Description"]["Value"] == "another"
    unknown = await door.refusal("describe_image_attribute", ImageId=mine, Attribute="sriovNetSupport")
    assert unknown == ("InvalidParameterValue", 400)


async def test_an_image_is_shared_and_no_more(world: World, door: Door) -> None:
    mine = await named(world, MINE)
    permission = {"UserId": OTHER_PROJECT}

    await door.ask("modify_image_attribute", ImageId=mine, LaunchPermission={"Add": [permission]})
    shared = await door.ask("describe_image_attribute", ImageId=mine, Attribute="launchPermission")
    assert shared["LaunchPermissions"] == [permission]
    assert "mine" in {image["Name"] for image in (await door.ask("describe_images", who="bob"))["Images"]}
    given = await door.ask("describe_images", who="bob", ExecutableUsers=["self"])
    assert [image["Name"] for image in given["Images"]] == ["mine"]
    assert await described(door, ExecutableUsers=["self"]) == {}

    await door.ask(
        "modify_image_attribute",
        ImageId=mine,
        Attribute="launchPermission",
        OperationType="remove",
        UserIds=[OTHER_PROJECT],
    )
    shared = await door.ask("describe_image_attribute", ImageId=mine, Attribute="launchPermission")
    assert shared["LaunchPermissions"] == []


async def test_who_may_not_publish_an_image_hears_so(world: World, door: Door) -> None:
    permission = {"Add": [{"Group": "all"}]}

    mine = await door.refusal("modify_image_attribute", ImageId=await named(world, MINE), LaunchPermission=permission)
    public = await door.refusal(
        "modify_image_attribute", ImageId=await named(world, IMAGE), LaunchPermission=permission
    )

    assert mine == ("UnauthorizedOperation", 403)
    assert public == ("AuthFailure", 401)


async def test_an_uploaded_image_is_registered_by_its_location(world: World, door: Door) -> None:
    kernel = await named(world, KERNEL, "aki")

    made = await door.ask(
        "register_image",
        Name="web",
        Description="serves",
        Architecture="x86_64",
        ImageLocation="mine",
        KernelId=kernel,
    )

    image = (await described(door, ImageIds=[made["ImageId"]]))["web"]
    assert made["ImageId"] == await named(world, MINE)
    assert (image["ImageLocation"], image["Description"], image["KernelId"]) == ("mine", "serves", kernel)
    again = await door.ask("register_image", Name="web2", ImageLocation="mine")
    assert again["ImageId"] == made["ImageId"]


@pytest.mark.parametrize("location", ["bucket/manifest.xml", THEIRS, "tiny", "http://169.254.169.254/"])
async def test_nothing_else_is_registered(door: Door, location: str) -> None:
    assert await door.refusal("register_image", Name="web", ImageLocation=location) == ("InvalidManifest", 400)


async def test_launch_permissions_are_taken_back_at_once(world: World, door: Door) -> None:
    mine = await named(world, MINE)
    await door.ask("modify_image_attribute", ImageId=mine, LaunchPermission={"Add": [{"UserId": OTHER_PROJECT}]})

    await door.ask("reset_image_attribute", ImageId=mine, Attribute="launchPermission")

    assert "mine" not in {image["Name"] for image in (await door.ask("describe_images", who="bob"))["Images"]}
    third = {"UserId": "a-third-project"}
    await door.ask("modify_image_attribute", ImageId=mine, LaunchPermission={"Add": [third]})
    shared = await door.ask("describe_image_attribute", ImageId=mine, Attribute="launchPermission")
    assert shared["LaunchPermissions"] == [third]


async def test_an_image_that_is_public_no_more_is_shared_with_whom_it_was(world: World, door: Door) -> None:
    mine, permission = await named(world, MINE), {"UserId": OTHER_PROJECT}
    await door.ask("modify_image_attribute", ImageId=mine, LaunchPermission={"Add": [permission]})
    world.glance.images[MINE]["visibility"] = "public"

    await door.ask("modify_image_attribute", ImageId=mine, LaunchPermission={"Remove": [{"Group": "all"}]})

    shared = await door.ask("describe_image_attribute", ImageId=mine, Attribute="launchPermission")
    assert shared["LaunchPermissions"] == [permission]
