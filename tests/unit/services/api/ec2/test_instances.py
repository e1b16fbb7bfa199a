"""Instances through boto3: run, described, filtered, in pages, stopped, started, ended, and the same through the other door."""

import asyncio
import base64
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from novaflow.config import Config
from novaflow.db import ec2_ids
from novaflow.db.ec2_ids import Ec2Ids
from novaflow.db.servers import ServerQuery
from novaflow.quotas import QuotaLimits
from novaflow.states import ACTIVE, ERROR, SHUTOFF, STATES, Vm
from services.api.ec2.instance_lookup import SHOWN_AFTER_END
from services.api.ec2.instance_states import state_of
from tests.support.compute_api import PROJECT
from tests.support.ec2_door import Door, ec2_door
from tests.support.server_world import IMAGE, World, server_world

USER_DATA = b"#!/bin/sh\necho hello\n"
UNKNOWN = "i-0badcafe"


async def ami(world: World) -> str:
    """The one image as EC2 names it."""
    return f"ami-{await Ec2Ids(world.api.database).number(ec2_ids.IMAGE, IMAGE):08x}"


async def run(world: World, door: Door, count: int = 1, **more: Any) -> dict[str, Any]:
    """What RunInstances answers."""
    counts = {"MinCount": count, "MaxCount": count}
    return await door.ask("run_instances", **{"ImageId": await ami(world), "InstanceType": "m1.tiny", **counts, **more})


async def instance_of(world: World, server_id: str) -> str:
    """A server as EC2 names it."""
    return f"i-{await Ec2Ids(world.api.database).number(ec2_ids.INSTANCE, server_id):08x}"


async def described(door: Door, **asked: Any) -> list[dict[str, Any]]:
    """The instances that DescribeInstances shows."""
    answer = await door.ask("describe_instances", **asked)
    return [instance for one in answer["Reservations"] for instance in one["Instances"]]


async def test_instances_are_recorded_ordered_and_answered_as_pending(world: World, door: Door) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "role", "Value": "web"}]}]
    zone = {"AvailabilityZone": "nova"}

    made = await run(world, door, 2, UserData=USER_DATA.decode(), TagSpecifications=tags, Placement=zone)

    assert (made["OwnerId"], made["ReservationId"][:2]) == (PROJECT, "r-")
    first, second = made["Instances"]
    assert (first["State"], first["InstanceType"], first["ImageId"]) == (
        {"Code": 0, "Name": "pending"},
        "m1.tiny",
        await ami(world),
    )
    assert (first["AmiLaunchIndex"], second["AmiLaunchIndex"]) == (0, 1)
    assert first["Tags"] == [{"Key": "role", "Value": "web"}]
    in_order = ServerQuery(project_id=PROJECT, sort_keys=("launch_index",), sort_dirs=("asc",))
    recorded = await world.servers.list(in_order)
    assert {server.name for server in recorded} == {f"Server {server.id}" for server in recorded}
    for server in recorded:
        order = await world.build(server.id)
        assert (order.spec.availability_zone, order.context.project_id) == ("nova", PROJECT)
        assert (await world.servers.get_in_full(server.id))[1] == base64.b64encode(USER_DATA).decode()


async def test_both_doors_show_one_server(world: World, door: Door) -> None:
    server_id = await world.active(metadata={"tier": "front"}, name="web")

    (instance,) = await described(door)
    shown = await world.show(server_id)

    assert instance["State"]["Name"] == "running"
    assert instance["PrivateIpAddress"] == shown["addresses"]["private"][0]["addr"]
    assert (instance["PrivateDnsName"], instance["Tags"]) == ("web", [{"Key": "tier", "Value": "front"}])
    assert instance["Placement"]["AvailabilityZone"] == shown["OS-EXT-AZ:availability_zone"]


async def test_both_doors_agree_in_every_state(world: World, door: Door) -> None:
    server_id = await world.active()
    instance = await instance_of(world, server_id)

    for state in (one for one in STATES if one.vm is not Vm.DELETED):
        server = await world.put(server_id, state)
        (found,) = await described(door, InstanceIds=[instance])

        assert (await world.show(server_id))["status"] == state.status
        assert found["State"]["Name"] == state_of(server).word, str(state)


async def test_a_client_token_makes_instances_once(world: World, door: Door) -> None:
    first = await run(world, door, ClientToken="once")
    again = await run(world, door, ClientToken="once")

    assert again["ReservationId"] == first["ReservationId"]
    assert [one["InstanceId"] for one in again["Instances"]] == [one["InstanceId"] for one in first["Instances"]]
    assert len(await described(door, Filters=[{"Name": "client-token", "Values": ["once"]}])) == 1
    other: dict[str, Any] = {"ImageId": await ami(world), "MinCount": 1, "MaxCount": 2, "ClientToken": "once"}
    assert await door.refusal("run_instances", **other) == ("IdempotentParameterMismatch", 400)


async def test_a_client_token_is_good_for_its_instances_when_their_key_and_their_group_have_gone(
    world: World, door: Door
) -> None:
    group = (await door.ask("create_security_group", GroupName="web", Description="for the web"))["GroupId"]
    await door.ask("create_key_pair", KeyName="mine")
    asked: dict[str, Any] = {"KeyName": "mine", "SecurityGroupIds": [group], "ClientToken": "once"}
    first = await run(world, door, **asked)
    await door.ask("delete_key_pair", KeyName="mine")
    await door.ask("terminate_instances", InstanceIds=[first["Instances"][0]["InstanceId"]])
    await door.ask("delete_security_group", GroupId=group)

    again = await run(world, door, **asked)

    assert again["ReservationId"] == first["ReservationId"]
    assert len(await world.servers.list(ServerQuery(project_id=PROJECT))) == 0


async def test_of_many_requests_with_one_client_token_in_one_moment_one_makes_instances(
    world: World, door: Door
) -> None:
    await ami(world)

    made = await asyncio.gather(*(run(world, door, 2, ClientToken="race") for _ in range(6)))

    assert len({one["ReservationId"] for one in made}) == 1
    assert len(await world.servers.list(ServerQuery(project_id=PROJECT))) == 2


async def test_a_client_token_is_of_its_project(world: World, door: Door) -> None:
    asked: dict[str, Any] = {"ImageId": await ami(world), "MinCount": 1, "MaxCount": 1, "ClientToken": "mine"}

    alices = await door.ask("run_instances", **asked)
    bobs = await door.ask("run_instances", who="bob", **asked)

    assert alices["ReservationId"] != bobs["ReservationId"]


async def test_instances_of_other_projects_are_not_there(world: World, door: Door) -> None:
    instance = await instance_of(world, await world.active(who="bob"))

    assert await described(door) == []
    assert await door.refusal("describe_instances", InstanceIds=[instance]) == ("InvalidInstanceID.NotFound", 400)
    assert await door.refusal("terminate_instances", InstanceIds=[instance]) == ("InvalidInstanceID.NotFound", 400)
    assert await door.refusal("terminate_instances", who="admin", InstanceIds=[instance]) == (
        "InvalidInstanceID.NotFound",
        400,
    )


async def test_instances_are_found_by_filters_that_must_all_fit(world: World, door: Door) -> None:
    web = await instance_of(world, await world.active(metadata={"role": "web", "note": "a*b"}))
    db = await instance_of(world, await world.active(metadata={"role": "db"}))

    async def found(**filters: list[str]) -> set[str]:
        asked = [
            {"Name": name.replace("__", ":").replace("_", "-"), "Values": values} for name, values in filters.items()
        ]
        return {one["InstanceId"] for one in await described(door, Filters=asked)}

    assert await found(tag__role=["web"]) == {web}
    assert await found(tag__role=["w*", "d?"]) == {web, db}
    assert await found(tag__note=["a\\*b"]) == {web}
    assert await found(tag__role=["web"], instance_state_name=["stopped"]) == set()
    assert await found(tag_key=["note"]) == {web}
    assert await found(instance_id=[db], instance_type=["m1.tiny"], key_name=[]) == set()
    unknown = [{"Name": "colour", "Values": ["red"]}]
    assert await door.refusal("describe_instances", Filters=unknown) == ("InvalidParameterValue", 400)


async def test_pages_hold_every_instance_once(world: World, door: Door) -> None:
    made = {await instance_of(world, await world.created()) for _ in range(5)}

    pages = await door.pages("describe_instances", "Reservations", 2)

    assert [len(page) for page in pages] == [2, 2, 1]
    assert {one["InstanceId"] for page in pages for found in page for one in found["Instances"]} == made
    assert await door.refusal("describe_instances", NextToken="x") == ("InvalidNextToken", 400)
    both: dict[str, Any] = {"InstanceIds": [made.pop()], "MaxResults": 5}
    assert await door.refusal("describe_instances", **both) == ("InvalidParameterCombination", 400)


async def test_ids_may_have_seventeen_digits(world: World, door: Door) -> None:
    short = await instance_of(world, await world.active())

    (found,) = await described(door, InstanceIds=[f"i-{short[2:]:0>17}"])

    assert found["InstanceId"] == short


async def test_stop_and_start_order_every_instance_or_none(world: World, door: Door) -> None:
    running, building = await world.active(), await world.created()
    instances = [await instance_of(world, one) for one in (running, building)]

    assert await door.refusal("stop_instances", InstanceIds=instances) == ("IncorrectInstanceState", 400)
    assert (await world.servers.get(running)).state == ACTIVE

    (change,) = (await door.ask("stop_instances", InstanceIds=instances[:1]))["StoppingInstances"]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "stopping")
    assert (await world.order())[0] == "stop_instance"

    await world.put(running, SHUTOFF)
    (change,) = (await door.ask("stop_instances", InstanceIds=instances[:1], Force=False))["StoppingInstances"]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("stopped", "stopped")

    (change,) = (await door.ask("start_instances", InstanceIds=instances[:1]))["StartingInstances"]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("stopped", "pending")
    assert (await world.order())[0] == "start_instance"


async def test_a_reboot_is_soft_where_it_can_be(world: World, door: Door) -> None:
    running, stopped = await world.active(), await world.active()
    await world.put(stopped, SHUTOFF)

    await door.ask("reboot_instances", InstanceIds=[await instance_of(world, one) for one in (running, stopped)])

    orders = {order.server_id: order.hard for _, order in [await world.order(), await world.order()]}
    assert orders == {running: False, stopped: True}


async def test_terminated_instances_are_shown_for_an_hour(world: World, door: Door) -> None:
    instance = await instance_of(world, server_id := await world.created())

    (change,) = (await door.ask("terminate_instances", InstanceIds=[instance]))["TerminatingInstances"]

    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("pending", "terminated")
    (found,) = await described(door)
    assert found["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    (again,) = (await door.ask("terminate_instances", InstanceIds=[instance], DryRun=False))["TerminatingInstances"]
    assert again["CurrentState"]["Name"] == "terminated"

    await world.ended(server_id, SHOWN_AFTER_END + timedelta(seconds=1))

    assert await described(door) == []
    refused = await door.refusal("describe_instances", InstanceIds=[instance])
    assert refused == ("InvalidInstanceID.NotFound", HTTPStatus.BAD_REQUEST)


async def test_an_instance_whose_build_failed_says_why(world: World, door: Door) -> None:
    instance = await instance_of(world, server_id := await world.created())
    await world.put(server_id, ERROR, host=None)

    (found,) = await described(door, InstanceIds=[instance])

    assert found["State"]["Name"] == "terminated"


async def test_a_locked_instance_is_not_ended(world: World, door: Door) -> None:
    server_id = await world.active()
    assert (await world.act(server_id, {"lock": None})).status == HTTPStatus.ACCEPTED

    refused = await door.refusal("terminate_instances", InstanceIds=[await instance_of(world, server_id)])

    assert refused == ("OperationNotPermitted", 400)


async def test_console_status_and_attributes_are_told(world: World, door: Door) -> None:
    encoded = base64.b64encode(USER_DATA).decode()
    server_id = await world.active(user_data=encoded)
    instance, building = await instance_of(world, server_id), await instance_of(world, await world.created())

    assert (await door.ask("get_console_output", InstanceId=instance))["Output"] == "login:\x1b[0m\n"
    assert (await door.ask("get_console_output", InstanceId=building))["Output"] == ""
    assert (await door.ask("get_password_data", InstanceId=instance))["PasswordData"] == ""
    (status,) = (await door.ask("describe_instance_status"))["InstanceStatuses"]
    assert (status["InstanceId"], status["InstanceStatus"]["Status"]) == (instance, "ok")
    everyone = await door.ask("describe_instance_status", IncludeAllInstances=True)
    assert len(everyone["InstanceStatuses"]) == 2
    user_data = await door.ask("describe_instance_attribute", InstanceId=instance, Attribute="userData")
    assert user_data["UserData"] == {"Value": encoded}
    kind = await door.ask("describe_instance_attribute", InstanceId=instance, Attribute="instanceType")
    assert kind["InstanceType"] == {"Value": "m1.tiny"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ImageId": "ami-0badcafe"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "web"}, "InvalidAMIID.Malformed"),
        ({"InstanceType": "t9.huge"}, "InvalidParameterValue"),
        ({"MinCount": 2, "MaxCount": 1}, "InvalidParameterValue"),
        ({"MinCount": 0}, "InvalidParameterValue"),
        ({"KeyName": "nobody's"}, "InvalidKeyPair.NotFound"),
        ({"SecurityGroups": ["nobody's"]}, "InvalidGroup.NotFound"),
        ({"UserData": "x" * 16385}, "InvalidParameterValue"),
        ({"Placement": {"AvailabilityZone": "moon"}}, "InvalidParameterValue"),
        ({"Placement": {"Affinity": "host"}}, "UnknownParameter"),
        ({"Monitoring": {"Enabled": True}}, "UnsupportedOperation"),
        ({"EbsOptimized": True}, "UnsupportedOperation"),
        ({"ClientToken": "x" * 65}, "InvalidClientToken"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
async def test_what_cannot_be_run_is_refused_and_nothing_is_done(
    world: World, door: Door, changes: dict[str, Any], code: str
) -> None:
    asked = {"ImageId": await ami(world), "InstanceType": "m1.tiny", "MinCount": 1, "MaxCount": 1, **changes}

    refused, _ = await door.refusal("run_instances", **asked)

    assert refused == code
    assert await world.servers.list(ServerQuery()) == []


async def test_more_than_the_quota_is_an_instance_limit(tmp_path: Path) -> None:
    async with server_world(tmp_path, Config(quota=QuotaLimits(instances=1))) as world, ec2_door(world.api) as door:
        asked = {"ImageId": await ami(world), "InstanceType": "m1.tiny"}

        refused = await door.refusal("run_instances", MinCount=2, MaxCount=2, **asked)
        made = await door.ask("run_instances", MinCount=1, MaxCount=2, **asked)

    assert refused == ("InstanceLimitExceeded", 400)
    assert len(made["Instances"]) == 1


async def test_tags_are_the_servers_metadata(world: World, door: Door) -> None:
    server_id = await world.active(metadata={"tier": "front"})
    instance = await instance_of(world, server_id)

    await door.ask("create_tags", Resources=[instance], Tags=[{"Key": "Name", "Value": "web"}])
    assert (await world.show(server_id))["metadata"] == {"tier": "front", "Name": "web"}
    shown = (await door.ask("describe_tags", Filters=[{"Name": "key", "Values": ["N*"]}]))["Tags"]
    assert shown == [{"Key": "Name", "ResourceId": instance, "ResourceType": "instance", "Value": "web"}]

    await door.ask("delete_tags", Resources=[instance], Tags=[{"Key": "Name", "Value": "db"}, {"Key": "tier"}])
    assert (await world.show(server_id))["metadata"] == {"Name": "web"}
    await door.ask("delete_tags", Resources=[instance])
    assert (await world.show(server_id))["metadata"] == {}
    assert await door.refusal("create_tags", Resources=[UNKNOWN], Tags=[{"Key": "a", "Value": "b"}]) == (
        "InvalidInstanceID.NotFound",
        400,
    )
    reserved = [{"Key": "aws:a", "Value": "b"}]
    assert await door.refusal("create_tags", Resources=[instance], Tags=reserved) == ("InvalidParameterValue", 400)


async def test_an_image_is_tagged_beside_the_cloud(world: World, door: Door) -> None:
    image = await ami(world)

    await door.ask("create_tags", Resources=[image], Tags=[{"Key": "os", "Value": "linux"}])
    await door.ask("create_tags", Resources=[image], Tags=[{"Key": "os", "Value": "bsd"}])

    (tag,) = (await door.ask("describe_tags"))["Tags"]
    assert (tag["ResourceId"], tag["ResourceType"], tag["Value"]) == (image, "image", "bsd")
    many = [{"Key": str(number), "Value": ""} for number in range(50)]
    assert await door.refusal("create_tags", Resources=[image], Tags=many) == ("TagLimitExceeded", 400)


async def test_instances_are_in_the_groups_that_were_asked_for(world: World, door: Door) -> None:
    group = await door.ask("create_security_group", GroupName="web", Description="for the web")

    made = await run(world, door, SecurityGroupIds=[group["GroupId"]])

    assert made["Groups"] == [{"GroupId": group["GroupId"], "GroupName": "web"}]
    in_it = await described(door, Filters=[{"Name": "instance.group-name", "Values": ["web"]}])
    assert [one["InstanceId"] for one in in_it] == [made["Instances"][0]["InstanceId"]]


async def test_the_attributes_that_can_be_changed_are(world: World, door: Door) -> None:
    instance = await instance_of(world, server_id := await world.active())
    group = (await door.ask("create_security_group", GroupName="web", Description="for the web"))["GroupId"]

    async def change(**what: Any) -> None:
        await door.ask("modify_instance_attribute", InstanceId=instance, **what)

    await change(Groups=[group])
    assert [one["GroupId"] for one in (await described(door))[0]["SecurityGroups"]] == [group]
    await change(DisableApiTermination={"Value": True})
    assert (await world.servers.get(server_id)).is_locked
    told = await door.ask("describe_instance_attribute", InstanceId=instance, Attribute="disableApiTermination")
    assert told["DisableApiTermination"] == {"Value": True}
    silences: list[dict[str, Any]] = [{"Attribute": "disableApiTermination"}, {"DisableApiTermination": {}}]
    for silent in silences:
        (refused, _) = await door.refusal("modify_instance_attribute", InstanceId=instance, **silent)
        assert refused in ("MissingParameter", "InvalidParameterCombination")
        assert (await world.servers.get(server_id)).is_locked
    await change(Attribute="disableApiTermination", Value="false")
    assert not (await world.servers.get(server_id)).is_locked

    fixed: dict[str, Any] = {"InstanceId": instance, "InstanceType": {"Value": "m1.large"}}
    assert await door.refusal("modify_instance_attribute", **fixed) == ("UnsupportedOperation", 400)
    both: dict[str, Any] = {"InstanceId": instance, "Groups": [group], "DisableApiTermination": {"Value": True}}
    assert await door.refusal("modify_instance_attribute", **both) == ("InvalidParameterCombination", 400)


async def test_the_region_its_zones_and_the_account_are_told(world: World, door: Door) -> None:
    (region,) = (await door.ask("describe_regions"))["Regions"]
    assert (region["RegionName"], region["Endpoint"]) == ("RegionOne", door.url.removesuffix("/services/Cloud"))
    assert await door.refusal("describe_regions", RegionNames=["mars"]) == ("InvalidParameterValue", 400)
    (zone,) = (await door.ask("describe_availability_zones"))["AvailabilityZones"]
    assert (zone["ZoneName"], zone["State"]) == ("nova", "available")
    (most,) = (await door.ask("describe_account_attributes", AttributeNames=["max-instances"]))["AccountAttributes"]
    assert most["AttributeValues"] == [{"AttributeValue": "10"}]
    assert (await door.ask("describe_vpcs"))["Vpcs"] == []
    (tiny,) = (await door.ask("describe_instance_types", InstanceTypes=["m1.tiny"]))["InstanceTypes"]
    assert (tiny["VCpuInfo"]["DefaultVCpus"], tiny["MemoryInfo"]["SizeInMiB"]) == (1, 512)
