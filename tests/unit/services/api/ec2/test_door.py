"""The door itself: who may come in, what is refused before anything is done, and in which words."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as Et

import aiohttp
import pytest
from botocore.auth import SigV2Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from novaflow.db import ec2_ids
from novaflow.db.ec2_ids import Ec2Ids
from novaflow.db.ec2_signatures import Ec2Signatures
from novaflow.db.servers import ServerQuery
from services.api.ec2.auth import Pauses
from services.api.ec2.errors import Ec2Error
from services.api.ec2.replays import Signature, used_once
from tests.support.ec2 import FORM
from tests.support.ec2_door import REGION, Door, ec2_door, secret_of
from tests.support.server_world import IMAGE, World, server_world

VERSION: Final = "2016-11-15"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with server_world(tmp_path) as world:
        yield world


@pytest.fixture
async def door(world: World) -> AsyncIterator[Door]:
    async with ec2_door(world.api) as door:
        yield door


def signed(
    url: str, params: Mapping[str, str], *, verb: str = "POST", who: str = "alice", secret: str = "", way: str = "v4"
) -> AWSPreparedRequest:
    """A request as botocore's signers make it."""
    everything = {"Version": VERSION, **params}
    where: dict[str, Any] = {"params": everything}
    if verb == "POST":
        where = {"data": everything, "headers": {"Content-Type": FORM}}
    request = AWSRequest(method=verb, url=url, **where)
    keys = Credentials(who, secret or secret_of(who))
    if way == "v2":
        SigV2Auth(keys).add_auth(request)
    elif way == "presigned":
        SigV4QueryAuth(keys, "ec2", REGION).add_auth(request)
    else:
        SigV4Auth(keys, "ec2", REGION).add_auth(request)
    return request.prepare()


async def send(request: AWSPreparedRequest, **changes: Any) -> tuple[int, Et.Element]:
    """Status and XML of what is answered; `changes` are made after the signing."""
    headers = {
        name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()
    } | changes.get("headers", {})
    body = changes.get("body", request.body)
    async with (
        aiohttp.ClientSession() as http,
        http.request(request.method, changes.get("url", request.url), data=body, headers=headers) as response,
    ):
        return response.status, Et.fromstring(await response.read())


def code_of(root: Et.Element) -> str:
    return root.findtext("Errors/Error/Code") or ""


@pytest.mark.parametrize(
    ("way", "verb"), [("v2", "GET"), ("v2", "POST"), ("v4", "GET"), ("v4", "POST"), ("presigned", "GET")]
)
@pytest.mark.parametrize("path", ["/", "/services/Cloud", "/services/Cloud/"])
async def test_every_way_to_sign_comes_in_at_every_address(door: Door, way: str, verb: str, path: str) -> None:
    url = door.url.removesuffix("/services/Cloud") + path

    status, root = await send(signed(url, {"Action": "DescribeRegions"}, way=way, verb=verb))

    assert status == 200
    assert root.tag == f"{{http://ec2.amazonaws.com/doc/{VERSION}/}}DescribeRegionsResponse"
    assert re.fullmatch(
        r"req-[0-9a-f-]{36}", root.findtext(f"{{http://ec2.amazonaws.com/doc/{VERSION}/}}requestId") or ""
    )


@pytest.mark.parametrize("version", ["2010-08-31", "2014-02-01"])
async def test_the_version_that_was_asked_for_is_the_namespace(door: Door, version: str) -> None:
    _, root = await send(signed(door.url, {"Action": "DescribeRegions", "Version": version}, way="v2"))

    assert root.tag.startswith(f"{{http://ec2.amazonaws.com/doc/{version}/}}")


@pytest.mark.parametrize(
    ("params", "code", "status"),
    [
        ({}, "MissingAction", 400),
        ({"Action": "DescribeUnicorns"}, "InvalidAction", 400),
        ({"Action": "DescribeRegions", "Version": "1999-01-01"}, "NoSuchVersion", 400),
        ({"Action": "DescribeRegions", "Version": ""}, "MissingParameter", 400),
        ({"Action": "DescribeRegions", "Colour": "red"}, "UnknownParameter", 400),
        ({"Action": "DescribeRegions", "RegionName": "mars"}, "InvalidParameterValue", 400),
        ({"Action": "RunInstances"}, "MissingParameter", 400),
        ({"Action": "DescribeRegions", ".".join("A" * 100): "1"}, "MalformedQueryString", 400),
        ({"Action": "DescribeRegions"} | {f"A.{number}": "" for number in range(2000)}, "MalformedQueryString", 400),
        ({"Action": "DescribeRegions", "A": "x" * 200_000}, "InvalidParameterValue", 400),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_what_is_wrong_is_said_in_ec2s_words(door: Door, params: dict[str, str], code: str, status: int) -> None:
    answered, root = await send(signed(door.url, params))

    assert (code_of(root), answered) == (code, status)
    assert (root.tag, bool(root.findtext("RequestID"))) == ("Response", True)


@pytest.mark.parametrize("way", ["v2", "v4"])
async def test_a_wrong_secret_an_unknown_key_and_a_changed_body_are_refused(world: World, door: Door, way: str) -> None:
    asked = {"Action": "DescribeRegions"}
    honest = signed(door.url, asked, way=way)
    assert isinstance(honest.body, (bytes, str))
    body = honest.body.decode() if isinstance(honest.body, bytes) else honest.body

    wrong = await send(signed(door.url, asked, secret="guess", way=way))
    unknown = await send(signed(door.url, asked, who="mallory", way=way))
    changed = await send(honest, body=body.replace("DescribeRegions", "DescribeAvailabilityZones"))

    assert [(code_of(root), status) for status, root in (wrong, unknown, changed)] == [
        ("SignatureDoesNotMatch", 403),
        ("AuthFailure", 401),
        ("SignatureDoesNotMatch", 403),
    ]


async def test_a_request_that_names_no_key_is_refused(door: Door) -> None:
    async with aiohttp.ClientSession() as http, http.get(door.url, params={"Action": "DescribeRegions"}) as response:
        root = Et.fromstring(await response.read())

    assert (code_of(root), response.status) == ("MissingAuthenticationToken", 403)


async def test_a_post_has_no_query_and_a_get_no_body(door: Door) -> None:
    post, get = (
        signed(door.url, {"Action": "DescribeRegions"}),
        signed(door.url, {"Action": "DescribeRegions"}, verb="GET"),
    )

    with_query = await send(post, url=f"{door.url}?Action=TerminateInstances")
    with_body = await send(get, body=b"Action=TerminateInstances", headers={"Content-Type": FORM})

    assert [code_of(root) for _, root in (with_query, with_body)] == ["MalformedQueryString", "InvalidRequest"]


@pytest.mark.parametrize("token", [{}, {"ClientToken": ""}], ids=["none", "empty"])
async def test_a_signature_is_good_for_one_change_and_for_many_questions(
    world: World, door: Door, token: dict[str, str]
) -> None:
    image = f"ami-{await Ec2Ids(world.api.database).number(ec2_ids.IMAGE, IMAGE):08x}"
    asked_for = {
        "Action": "RunInstances",
        "ImageId": image,
        "InstanceType": "m1.tiny",
        "MinCount": "1",
        "MaxCount": "1",
    }
    change, question = signed(door.url, asked_for | token), signed(door.url, {"Action": "DescribeInstances"})

    changed = [await send(change), await send(change)]
    questions = [await send(question), await send(question)]

    assert [status for status, _ in (*changed, *questions)] == [200, 503, 200, 200]
    assert code_of(changed[1][1]) == "RequestLimitExceeded"
    assert len(await world.servers.list(ServerQuery())) == 1


async def test_a_change_that_was_refused_may_be_sent_again(world: World, door: Door) -> None:
    change = signed(door.url, {"Action": "StopInstances", "InstanceId.1": "i-0badcafe"})

    refusals = [code_of((await send(change))[1]) for _ in range(2)]

    assert refusals == ["InvalidInstanceID.NotFound"] * 2


async def test_another_door_of_the_same_cloud_knows_what_was_used(world: World, door: Door) -> None:
    instance = f"i-{await Ec2Ids(world.api.database).number(ec2_ids.INSTANCE, await world.active()):08x}"
    change = signed(door.url, {"Action": "StopInstances", "InstanceId.1": instance})

    async with ec2_door(world.api) as other:
        first = await send(change)
        again = await send(change, url=other.url, headers={"Host": change.url.split("/")[2]})

    assert [first[0], code_of(again[1])] == [200, "RequestLimitExceeded"]


async def test_of_one_change_that_comes_many_times_in_one_moment_one_is_made(door: Door) -> None:
    change = signed(door.url, {"Action": "CreateSecurityGroup", "GroupName": "g", "GroupDescription": "d"})

    answers = await asyncio.gather(*(send(change) for _ in range(6)))

    assert sorted(status for status, _ in answers) == [200, *[503] * 5]


async def test_clients_that_mean_the_same_twice_sign_again_by_themselves(door: Door) -> None:
    with closing(door.another_client(Config(retries={"mode": "standard"}))) as client:
        made = [await asyncio.to_thread(client.allocate_address) for _ in range(3)]

    assert len({one["PublicIp"] for one in made}) == 3


@pytest.mark.parametrize("ends", [RuntimeError, Ec2Error, asyncio.CancelledError], ids=lambda one: one.__name__)
async def test_the_signature_of_a_change_that_failed_is_good_for_another_try(
    world: World, ends: type[BaseException]
) -> None:
    signatures, clock = Ec2Signatures(world.api.database, world.api.clock), world.api.clock
    signature = Signature("alice/signed", timedelta(minutes=15))

    with pytest.raises(ends):
        async with used_once(signatures, signature, clock):
            raise ends(*["code", "message"] if ends is Ec2Error else ())

    async with used_once(signatures, signature, clock):
        pass
    with pytest.raises(Ec2Error, match="received before"):
        async with used_once(signatures, signature, clock):
            raise AssertionError("it was let in twice")


def test_a_key_that_is_refused_waits_longer_every_time_until_it_is_good() -> None:
    pauses = Pauses(kept=2)

    assert [pauses.refused("a") for _ in range(7)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 3.2]
    pauses.accepted("a")
    assert [pauses.refused(key) for key in ("a", "b", "c", "a")] == [0.1, 0.1, 0.1, 0.1]
