"""POST /servers: what is accepted, what is refused and why, and what is ordered."""

import asyncio
import base64
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from novaflow.config import Config
from novaflow.db.servers import ServerQuery
from novaflow.quotas import QuotaLimits
from rpc.tracing import Span
from services.api.openstack.server_create import network_id
from tests.support.compute_api import PEOPLE, PROJECT
from tests.support.server_world import HOST, IMAGE, World, server_world

UNKNOWN = "22222222-2222-4222-8222-222222222222"
USER_DATA = base64.b64encode(b"#!/bin/sh\necho hello\n").decode()


async def test_a_server_is_recorded_ordered_and_answered_202(world: World) -> None:
    reply = await world.create(name="Web 1", metadata={"tier": "front"}, user_data=USER_DATA, config_drive=True)

    assert reply.status == HTTPStatus.ACCEPTED
    server = reply.body["server"]
    assert reply.headers["Location"] == f"{world.api.root}/v2.1/servers/{server['id']}"
    assert server["links"] == [
        {"rel": "self", "href": f"{world.api.root}/v2.1/servers/{server['id']}"},
        {"rel": "bookmark", "href": f"{world.api.root}/servers/{server['id']}"},
    ]
    assert re.fullmatch(r"[2-9A-HJ-NP-Za-km-z]{12}", server["adminPass"])
    assert (server["OS-DCF:diskConfig"], server["security_groups"]) == ("MANUAL", [{"name": "default"}])
    assert server.keys() == {"id", "links", "adminPass", "OS-DCF:diskConfig", "security_groups"}

    order = await world.build(server["id"])
    recorded = await world.servers.get(server["id"])
    assert order.task_id == recorded.task_id
    assert order.admin_password == server["adminPass"]
    assert (order.context.token, order.context.project_id) == ("alice", PROJECT)
    assert order.context.request_id == reply.headers["X-Compute-Request-Id"]
    assert (order.spec.flavor.id, order.spec.image.id if order.spec.image else "") == ("1", IMAGE)
    assert (recorded.name, recorded.hostname, recorded.description) == ("Web 1", "web-1", "Web 1")
    assert (recorded.metadata, recorded.has_config_drive) == ({"tier": "front"}, True)
    assert str(recorded.state) == "building/scheduling"


async def test_the_password_may_be_given_and_is_shown_once(world: World) -> None:
    reply = await world.create(adminPass="correct horse")

    assert reply.body["server"]["adminPass"] == "correct horse"
    assert "adminPass" not in await world.show(reply.body["server"]["id"])


async def test_a_server_in_the_url_with_a_project_is_linked_so(world: World) -> None:
    body = {"server": {"name": "a", "imageRef": IMAGE, "flavorRef": "1"}}

    reply = await world.api.ask("POST", f"/{PROJECT}/servers", body, who="alice")

    server_id = reply.body["server"]["id"]
    assert reply.headers["Location"] == f"{world.api.root}/v2.1/{PROJECT}/servers/{server_id}"


@pytest.mark.parametrize(
    "reference", ["http://image.example/v2/images/" + IMAGE, IMAGE.upper(), IMAGE.replace("-", "")]
)
async def test_an_image_may_be_named_by_a_link_or_in_any_spelling_of_its_id(world: World, reference: str) -> None:
    server_id = await world.created(imageRef=reference, flavorRef="http://compute.example/v2/flavors/1")

    assert (await world.show(server_id))["image"]["id"] == IMAGE


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ...}, "Invalid input for field/attribute server. Value: {"),
        ({"name": ""}, "Invalid input for field/attribute name. Value: . '' is too short"),
        ({"flavorRef": ...}, "Invalid input for field/attribute server. Value: {"),
        ({"flavorRef": "no-such"}, "Flavor no-such could not be found."),
        ({"flavorRef": []}, "Invalid input for field/attribute flavorRef. Value: []. [] is not of type 'string'"),
        ({"imageRef": ...}, "Missing imageRef attribute"),
        ({"imageRef": ""}, "Missing imageRef attribute"),
        ({"imageRef": UNKNOWN}, "Can not find requested image"),
        ({"imageRef": "tiny"}, "Invalid input for field/attribute imageRef. Value: tiny. 'tiny' is not a 'uuid'"),
        ({"imageRef": "../../etc"}, "Invalid input for field/attribute imageRef. Value: ../../etc."),
        ({"key_name": "none-such"}, "Invalid key_name provided."),
        ({"user_data": "?"}, "Invalid input for field/attribute user_data. Value: ***."),
        ({"user_data": "A" * 65536}, "Invalid input for field/attribute user_data. Value: ***. '***' is too long"),
        ({"availability_zone": "moon"}, "Invalid input received: The requested availability zone is not available"),
        ({"availability_zone": "a:b:c:d"}, "Invalid input received: Unable to parse availability_zone"),
        ({"security_groups": [{"name": "web"}]}, "Security group web not found."),
        ({"networks": [{"uuid": UNKNOWN}]}, f"Network {UNKNOWN} could not be found."),
        ({"networks": [{"uuid": "private"}]}, "Bad networks format: network uuid is not in proper format (private)"),
        ({"networks": [{}]}, "Bad network format: missing 'uuid'"),
        ({"networks": [{"port": UNKNOWN}]}, f"Port {UNKNOWN} could not be found."),
        ({"min_count": 2, "max_count": 1}, "min_count must be <= max_count"),
        ({"min_count": 0}, "Invalid input for field/attribute min_count. Value: 0. 0 is less than the minimum of 1"),
        ({"metadata": {"a": 1}}, "Invalid input for field/attribute a. Value: 1. 1 is not of type 'string'"),
        ({"metadata": {"a": "b" * 256}}, "Invalid input for field/attribute a. Value: bbb"),
        ({"accessIPv4": "10.0.0.256"}, "Invalid input for field/attribute accessIPv4. Value: 10.0.0.256."),
        ({"accessIPv6": "10.0.0.1"}, "Invalid input for field/attribute accessIPv6. Value: 10.0.0.1."),
        ({"OS-DCF:diskConfig": "auto"}, "Invalid input for field/attribute OS-DCF:diskConfig. Value: auto."),
        ({"config_drive": "perhaps"}, "Invalid input for field/attribute config_drive. Value: perhaps."),
        ({"personality": [{"path": "/a"}]}, "Invalid input for field/attribute 0. Value: {'path': '/a'}."),
        ({"block_device_mapping": [{"volume_id": UNKNOWN}]}, "Block Device Mapping is Invalid: "),
        ({"description": "since 2.19"}, "Invalid input for field/attribute server. Value: {"),
        ({"colour": "red"}, "Invalid input for field/attribute server. Value: {"),
    ],
)
async def test_what_cannot_be_is_a_400_that_says_why(world: World, fields: dict[str, Any], said: str) -> None:
    reply = await world.create(**fields)

    assert reply.status == HTTPStatus.BAD_REQUEST
    assert reply.body.keys() == {"badRequest"}
    assert reply.message.startswith(said)
    assert (await world.api.get("/servers", who="alice"))["servers"] == []


async def test_unknown_fields_are_named(world: World) -> None:
    reply = await world.create(colour="red", size=1)

    assert reply.message.endswith("Additional properties are not allowed ('colour', 'size' were unexpected)")


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ({"status": "queued"}, f"Image {UNKNOWN} is not active."),
        ({"min_ram": 513}, "Flavor's memory is too small for requested image."),
        (
            {"size": 2**30 + 1},
            (
                "Flavor's disk is too small for requested image. "
                "Flavor disk is 1073741824 bytes, image is 1073741825 bytes."
            ),
        ),
        ({"min_disk": 2}, "Flavor's disk is smaller than the minimum size specified in image metadata."),
        ({"visibility": "private", "owner": "somebody else"}, "Can not find requested image"),
    ],
)
async def test_the_image_must_fit_the_flavor_and_the_user(world: World, image: dict[str, Any], said: str) -> None:
    world.glance.add(UNKNOWN, **image)

    reply = await world.create(imageRef=UNKNOWN)

    assert reply.status == HTTPStatus.BAD_REQUEST
    assert reply.message.startswith(said)


async def test_without_the_image_service_nothing_is_accepted(world: World) -> None:
    world.glance.is_away = True

    reply = await world.create()

    assert (reply.status, list(reply.body)) == (HTTPStatus.SERVICE_UNAVAILABLE, ["serviceUnavailable"])
    assert (await world.api.get("/servers", who="alice"))["servers"] == []


async def test_kernel_and_ramdisk_come_from_the_image(world: World) -> None:
    world.glance.add(UNKNOWN, kernel_id="k", ramdisk_id="r")

    recorded = await world.servers.get(await world.created(imageRef=UNKNOWN))

    assert (recorded.kernel_id, recorded.ramdisk_id) == ("k", "r")


async def test_a_key_is_taken_along(world: World) -> None:
    made = await world.api.ask("POST", "/os-keypairs", {"keypair": {"name": "mine"}}, who="alice")
    assert made.status == HTTPStatus.OK, made.body

    server_id = await world.active(key_name="mine")

    assert (await world.show(server_id))["key_name"] == "mine"
    assert (await world.create(key_name="mine", who="bob")).message == "Invalid key_name provided."


async def test_many_servers_are_numbered_and_share_a_reservation(world: World) -> None:
    reply = await world.create(min_count=1, max_count=3, return_reservation_id=True)

    assert reply.status == HTTPStatus.ACCEPTED
    assert reply.body.keys() == {"reservation_id"}
    assert re.fullmatch(r"r-[a-z0-9]{8}", reply.body["reservation_id"])
    found = await world.api.get(
        f"/servers?reservation_id={reply.body['reservation_id']}&sort_key=display_name&sort_dir=asc", who="alice"
    )
    assert [server["name"] for server in found["servers"]] == ["web-1", "web-2", "web-3"]
    orders = [await world.builds.get() for _ in range(3)]
    assert {order.server_id for order in orders} == {server["id"] for server in found["servers"]}


async def test_the_quota_gives_what_is_left_when_that_is_enough(tmp_path: Path) -> None:
    async with server_world(tmp_path, Config(quota=QuotaLimits(instances=3))) as world:
        assert (await world.create(min_count=1, max_count=5)).status == HTTPStatus.ACCEPTED
        reply = await world.create(min_count=1, max_count=2)

        assert len((await world.api.get("/servers", who="alice"))["servers"]) == 3
        assert (reply.status, list(reply.body)) == (HTTPStatus.FORBIDDEN, ["forbidden"])
        assert reply.message == "Quota exceeded for instances: Requested 2, but already used 3 of 3 instances"


async def test_at_the_limit_exactly_what_fits_is_admitted(tmp_path: Path) -> None:
    async with server_world(tmp_path, Config(quota=QuotaLimits(cores=4))) as world:
        replies = await asyncio.gather(*(world.create(name=f"s{number}") for number in range(12)))

        statuses = [reply.status for reply in replies]
        assert sorted(statuses) == [HTTPStatus.ACCEPTED] * 4 + [HTTPStatus.FORBIDDEN] * 8


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"metadata": {f"key{number}": "" for number in range(3)}}, "Maximum number of metadata items exceeds 2"),
        ({"personality": [{"path": "/a", "contents": ""}] * 2}, "Personality file limit exceeded"),
        ({"personality": [{"path": "/" + "a" * 9, "contents": ""}]}, "Personality file path exceeds maximum 9"),
        ({"personality": [{"path": "/a", "contents": "YWJjZA=="}]}, "Personality file content exceeds maximum 3"),
    ],
)
async def test_one_server_may_have_only_so_much(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    limits = QuotaLimits(metadata_items=2, injected_files=1, injected_file_path_bytes=9, injected_file_content_bytes=3)
    async with server_world(tmp_path, Config(quota=limits)) as world:
        reply = await world.create(**fields)

        assert (reply.status, reply.message) == (HTTPStatus.FORBIDDEN, said)


async def test_only_administrators_choose_the_host(world: World) -> None:
    refused = await world.create(availability_zone=f"nova:{HOST}")
    unknown = await world.create(availability_zone="nova:c9", who="admin")
    server_id = await world.created(availability_zone=f"nova:{HOST}", who="admin")

    assert (refused.status, refused.message) == (
        HTTPStatus.FORBIDDEN,
        "Policy doesn't allow os_compute_api:servers:create:forced_host to be performed.",
    )
    assert unknown.message == "Compute host c9 could not be found."
    assert (await world.servers.spec(server_id)).force_host == HOST


async def test_a_zone_is_asked_of_the_scheduler(world: World) -> None:
    reply = await world.create(availability_zone="nova", around={"os:scheduler_hints": {"a": "g", "n": [1]}})

    order = await world.build(reply.body["server"]["id"])
    assert order.spec.availability_zone == "nova"
    assert order.spec.hints == {"a": "g", "n": "[1]"}


async def test_hints_reach_the_scheduler_as_they_are_recorded(world: World) -> None:
    hints = {
        "same_host": UNKNOWN.replace("-", ""),
        "different_host": [UNKNOWN],
        "query": [">=", "$free_ram_mb", 1024],
        "build_near_host_ip": "192.168.1.1",
        "cidr": "/16",
    }
    reply = await world.create(around={"OS-SCH-HNT:scheduler_hints": hints})

    order = await world.build(reply.body["server"]["id"])
    assert order.spec.hints == {
        "same_host": UNKNOWN,
        "different_host": (UNKNOWN,),
        "query": '[">=","$free_ram_mb",1024]',
        "build_near_host_ip": "192.168.1.1",
        "cidr": "/16",
    }
    assert (await world.servers.spec(reply.body["server"]["id"])).hints == order.spec.hints


@pytest.mark.parametrize(
    ("hints", "said"),
    [
        ({"group": "web"}, "field/attribute group. Value: web. 'web' is not a 'uuid'"),
        ({"group": UNKNOWN}, f"Instance group {UNKNOWN} could not be found."),
        ({"same_host": "web"}, "'web' is not a 'uuid'"),
        ({"different_host": [UNKNOWN, UNKNOWN]}, "is not of type 'string'"),
        ({"build_near_host_ip": "here"}, "build_near_host_ip"),
        ({"cidr": "16"}, "'16' does not match '^/[0-9a-f.:]+$'"),
        ({"query": "moon"}, "scheduler hint query: it is not a list in JSON"),
        ({"query": ["import", "os"]}, "scheduler hint query: a list begins with one of"),
    ],
)
async def test_a_hint_that_cannot_be_is_refused_and_nothing_is_recorded(
    world: World, hints: dict[str, Any], said: str
) -> None:
    reply = await world.create(around={"os:scheduler_hints": hints})

    assert reply.status == HTTPStatus.BAD_REQUEST
    assert said in reply.message
    assert await world.servers.list(ServerQuery()) == []


async def test_networks_must_be_said_since_2_37(world: World) -> None:
    silent = await world.create(version="2.37")
    auto = await world.create(version="2.37", networks="auto")
    own = await world.create(version="2.37", networks=[{"uuid": network_id(Config().network)}])
    wrong = await world.create(version="2.37", networks="maybe")

    assert silent.message.endswith("'networks' is a required property")
    assert (auto.status, own.status) == (HTTPStatus.ACCEPTED, HTTPStatus.ACCEPTED)
    assert wrong.message == (
        "Invalid input for field/attribute networks. Value: maybe. 'maybe' is not one of ['none', 'auto']"
    )


async def test_a_server_without_network_tells_its_host(world: World) -> None:
    reply = await world.create(version="2.37", networks="none")

    assert not (await world.build(reply.body["server"]["id"])).spec.wants_network
    assert not (await world.servers.spec(reply.body["server"]["id"])).wants_network


async def test_the_image_may_be_named_again_as_the_boot_device(world: World) -> None:
    device = {"source_type": "image", "uuid": IMAGE, "destination_type": "local", "boot_index": 0}

    plain = await world.create(block_device_mapping_v2=[{**device, "delete_on_termination": True}])
    volume = await world.create(block_device_mapping_v2=[{**device, "destination_type": "volume"}])

    assert plain.status == HTTPStatus.ACCEPTED
    assert volume.status == HTTPStatus.BAD_REQUEST


async def test_a_description_is_the_owners_since_2_19_and_the_name_before(world: World) -> None:
    old = await world.created(name="old")
    new = await world.created(name="new", version="2.19", description="mine")
    bare = await world.created(name="bare", version="2.19")

    shown = [(await world.show(server_id, version="2.19"))["description"] for server_id in (old, new, bare)]
    assert shown == ["old", "mine", None]


async def test_a_flavor_without_a_disk_is_for_administrators(world: World) -> None:
    flavor = {"flavor": {"name": "diskless", "id": "diskless", "ram": 64, "vcpus": 1, "disk": 0}}
    assert (await world.api.ask("POST", "/flavors", flavor)).status == HTTPStatus.OK

    refused = await world.create(flavorRef="diskless")
    accepted = await world.create(flavorRef="diskless", who="admin")

    assert (refused.status, refused.message) == (
        HTTPStatus.FORBIDDEN,
        "Only volume-backed servers are allowed for flavors with zero disk.",
    )
    assert accepted.status == HTTPStatus.ACCEPTED


async def test_a_build_that_could_not_be_ordered_stays_recorded(world: World) -> None:
    await world.api.transport.close()

    reply = await world.create()

    assert reply.status == HTTPStatus.ACCEPTED
    recorded = await world.servers.get(reply.body["server"]["id"])
    assert str(recorded.state) == "building/scheduling"
    assert [task.state for task in await world.servers.actions(recorded.id)] == ["running"]


@pytest.mark.parametrize("who", sorted(PEOPLE))
async def test_everybody_with_a_project_may_boot(world: World, who: str) -> None:
    server_id = await world.created(who=who)

    assert (await world.show(server_id, who=who))["tenant_id"] == PEOPLE[who].project_id


class Spans:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.kept: list[Span] = []

    def record(self, span: Span) -> None:
        self.kept.append(span)


async def test_the_trace_shows_the_steps_of_a_create_in_order(tmp_path: Path) -> None:
    spans = Spans()
    async with server_world(tmp_path, sink=spans) as world:
        reply = await world.create(name="web")

    server_id = reply.body["server"]["id"]
    trace_id = reply.headers["X-Compute-Request-Id"].removeprefix("req-").replace("-", "")
    mine = [span for span in sorted(spans.kept, key=lambda span: span.start) if span.trace_id == trace_id]
    (root,) = [span for span in mine if span.kind == "http.server"]
    assert (root.name, root.attributes["server_id"], root.attributes["status"]) == (
        "POST /v2.1/servers",
        server_id,
        202,
    )
    steps = [span.name for span in mine if span.parent_id == root.span_id]
    assert steps[:2] == ["check flavor, key pair, quota", "record server"]
    (recorded,) = [span for span in mine if span.name == "record server"]
    assert recorded.attributes == {"count": 1, "server_id": server_id}
