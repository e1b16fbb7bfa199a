"""What is told of one instance and done to it, as clients of two ages ask for it, and once it has ended."""

from typing import Any

from novaflow.db import ec2_ids
from novaflow.db.ec2_ids import Ec2Ids
from novaflow.db.guest_passwords import GuestPasswords
from tests.support.ec2_door import Door
from tests.support.server_world import World


async def instance_of(world: World, server_id: str) -> str:
    """A server as EC2 names it."""
    return f"i-{await Ec2Ids(world.api.database).number(ec2_ids.INSTANCE, server_id):08x}"


def as_boto_2_asks(door: Door, *more: str) -> None:
    """Have the client name the instance whose console it wants in a list, and these too."""

    def in_a_list(params: dict[str, Any], **_: Any) -> None:
        body = params["body"]
        named = [body.pop("InstanceId"), *more]
        body.update({f"InstanceId.{number}": one for number, one in enumerate(named, 1)})

    door.client().meta.events.register("before-call.ec2.GetConsoleOutput", in_a_list)


async def test_boto_2_names_the_console_in_a_list_of_one(world: World, door: Door) -> None:
    instance = await instance_of(world, await world.active())
    as_boto_2_asks(door)

    told = await door.ask("get_console_output", InstanceId=instance)

    assert (told["InstanceId"], told["Output"]) == (instance, "login:\x1b[0m\n")


async def test_one_console_is_told_at_a_time(world: World, door: Door) -> None:
    instance = await instance_of(world, await world.active())
    as_boto_2_asks(door, instance)

    refused = await door.refusal("get_console_output", InstanceId=instance)

    assert refused == ("InvalidParameterValue", 400)


async def test_an_instance_that_has_ended_is_told_of_but_nothing_is_done_to_it(world: World, door: Door) -> None:
    instance = await instance_of(world, await world.created())
    volume = (await door.ask("create_volume", AvailabilityZone="nova", Size=1))["VolumeId"]
    address = (await door.ask("allocate_address"))["PublicIp"]

    await door.ask("terminate_instances", InstanceIds=[instance])

    assert (await door.ask("get_console_output", InstanceId=instance))["Output"] == ""
    kind = await door.ask("describe_instance_attribute", InstanceId=instance, Attribute="instanceType")
    assert kind["InstanceType"] == {"Value": "m1.tiny"}
    ended = ("IncorrectInstanceState", 400)
    asked: dict[str, Any] = {"InstanceId": instance}
    assert await door.refusal("attach_volume", VolumeId=volume, Device="/dev/sdf", **asked) == ended
    assert await door.refusal("associate_address", PublicIp=address, **asked) == ended
    assert await door.refusal("modify_instance_attribute", DisableApiTermination={"Value": True}, **asked) == ended
    assert await door.refusal("create_image", Name="late", **asked) == ended
    assert await door.refusal("describe_instance_attribute", Attribute="userData", **asked) == ended


async def test_the_password_that_a_guest_has_posted_is_told_until_the_instance_ends(world: World, door: Door) -> None:
    server_id = await world.created()
    instance = await instance_of(world, server_id)
    assert (await door.ask("get_password_data", InstanceId=instance))["PasswordData"] == ""

    await GuestPasswords(world.api.database).post(server_id, "encrypted")

    told = await door.ask("get_password_data", InstanceId=instance)
    assert (told["InstanceId"], told["PasswordData"]) == (instance, "encrypted")
    assert await door.refusal("get_password_data", who="bob", InstanceId=instance) == (
        "InvalidInstanceID.NotFound",
        400,
    )
    await door.ask("terminate_instances", InstanceIds=[instance])
    assert (await door.ask("get_password_data", InstanceId=instance))["PasswordData"] == ""
