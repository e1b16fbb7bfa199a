"""What is asked at each door, and what is read of its answers."""

from datetime import UTC, datetime

import msgspec

from novaflow.lab.ec2.doors import Ec2Api, Ec2Door, OpenStackDoor
from novaflow.lab.ec2.signing import Keys, Request

EC2 = Ec2Door(
    Ec2Api("http://ec2.example/", Keys("access", "secret"), "here", lambda: datetime(2026, 1, 1, tzinfo=UTC)),
    "ami-00000001",
    "m1.small",
)
OPENSTACK = OpenStackDoor("http://compute.example/v2.1", {"X-Auth-Token": "token"}, "image", "flavor")


def body(request: Request) -> str:
    assert request.body is not None
    return request.body.decode()


def test_no_two_orders_are_the_same() -> None:
    assert body(EC2.boot()) != body(EC2.boot())
    assert body(OPENSTACK.boot()) != body(OPENSTACK.boot())


def test_both_doors_are_asked_for_the_same_server_and_the_same_page() -> None:
    assert "MinCount=1&MaxCount=1" in body(EC2.boot())
    assert msgspec.json.decode(body(OPENSTACK.boot()))["server"]["networks"] == "auto"
    assert "MaxResults=1000" in body(EC2.listing())
    assert OPENSTACK.listing().url == "http://compute.example/v2.1/servers/detail?limit=1000"


def test_ids_and_states_are_read_from_xml_however_it_is_indented() -> None:
    item = (
        "<item><instanceId>{}</instanceId>\n <instanceState>\n <code>{}</code>\n <name>{}</name></instanceState>"
        "<groupSet><item><name>running</name></item></groupSet></item>"
    )
    answer = (item.format("i-0000000a", 16, "running") + item.format("i-0123456789abcdef0", 0, "pending")).encode()

    assert EC2.ids(answer) == ["i-0000000a", "i-0123456789abcdef0"]
    assert EC2.states(answer) == ["running", "pending"]


def test_ids_and_states_are_read_from_json_of_one_server_or_of_all() -> None:
    every = msgspec.json.encode(
        {"servers": [{"id": "a", "status": "BUILD", "name": "x"}, {"id": "b", "status": "ACTIVE"}]}
    )

    assert OPENSTACK.ids(b'{"server": {"id": "a", "links": []}}') == ["a"]
    assert OPENSTACK.ids(every) == ["a", "b"]
    assert OPENSTACK.states(every) == ["BUILD", "ACTIVE"]
