"""The doors that are measured: how a server is ordered at each, how all are listed, and how its answers are read.

Answers are read for the ids in them and no further, which costs the client next to nothing at either door.
"""

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec

from novaflow.lab.ec2.signing import Keys, Request, signed

EC2: Final = "EC2"
OPENSTACK: Final = "OpenStack"

_VERSION: Final = "2016-11-15"
_PAGE: Final = 1000  # as long as either API lets a page be
_INSTANCE: Final = re.compile(rb"<instanceId>(i-[0-9a-f]+)</instanceId>")
_STATE: Final = re.compile(rb"<instanceState>\s*<code>\d+</code>\s*<name>([a-z-]+)</name>")


class Door(Protocol):
    """An API of a cloud, for one kind of server."""

    @property
    def api(self) -> str:
        """What it is called."""
        ...

    def boot(self) -> Request:
        """Order one more server."""
        ...

    def listing(self) -> Request:
        """Ask for all servers, with all that is told of them, in one answer."""
        ...

    def ids(self, answer: bytes) -> Sequence[str]:
        """The servers in an answer to either."""
        ...

    def states(self, answer: bytes) -> Sequence[str]:
        """The state of each server in an answer to a listing, in the words of the API."""
        ...

    @property
    def running(self) -> str:
        """The word for a server that runs."""
        ...


@dataclass(frozen=True)
class Ec2Api:
    """Where an EC2 API is, and with what keys requests to it are signed."""

    url: str
    keys: Keys
    region: str
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def ask(self, action: str, params: Mapping[str, str]) -> Request:
        """Any action, signed now."""
        given = {"Action": action, "Version": _VERSION, **params}
        return signed(self.url, given, self.keys, self.region, self.now())


@dataclass(frozen=True)
class Ec2Door:
    """RunInstances and DescribeInstances, signed by version 4."""

    at: Ec2Api
    image: str  # ami-0000002a
    instance_type: str
    api: str = EC2
    running: str = "running"

    def boot(self) -> Request:
        """RunInstances of one, with a client token, as Amazon's own clients send it."""
        kind = {"ImageId": self.image, "InstanceType": self.instance_type}
        return self.at.ask("RunInstances", {**kind, "MinCount": "1", "MaxCount": "1", "ClientToken": str(uuid.uuid4())})

    def listing(self) -> Request:
        """DescribeInstances of all."""
        return self.at.ask("DescribeInstances", {"MaxResults": str(_PAGE)})

    def ids(self, answer: bytes) -> Sequence[str]:
        """The instances in an answer."""
        return [found.decode() for found in _INSTANCE.findall(answer)]

    def states(self, answer: bytes) -> Sequence[str]:
        """Their states."""
        return [found.decode() for found in _STATE.findall(answer)]


class _Server(msgspec.Struct):
    id: str
    status: str = ""


class _Servers(msgspec.Struct):
    """An answer to either: one server, or all."""

    server: _Server | None = None
    servers: list[_Server] = msgspec.field(default_factory=list)


@dataclass(frozen=True)
class OpenStackDoor:
    """POST /servers and GET /servers/detail."""

    url: str  # of the Compute API
    headers: Mapping[str, str] = field(repr=False)  # with a token
    image: str
    flavor: str
    api: str = OPENSTACK
    running: str = "ACTIVE"

    def boot(self) -> Request:
        """POST /servers, for one with an address, as EC2's instances have one."""
        wish: dict[str, Any] = {
            "name": f"bench-{uuid.uuid4()}",
            "imageRef": self.image,
            "flavorRef": self.flavor,
            "networks": "auto",
        }
        headers = {**self.headers, "content-type": "application/json"}
        return Request("POST", f"{self.url}/servers", headers, msgspec.json.encode({"server": wish}))

    def listing(self) -> Request:
        """GET /servers/detail of all."""
        return Request("GET", f"{self.url}/servers/detail?limit={_PAGE}", self.headers)

    def ids(self, answer: bytes) -> Sequence[str]:
        """The servers in an answer."""
        found = msgspec.json.decode(answer, type=_Servers)
        return [one.id for one in ([found.server] if found.server else found.servers)]

    def states(self, answer: bytes) -> Sequence[str]:
        """Their statuses."""
        return [one.status for one in msgspec.json.decode(answer, type=_Servers).servers]
