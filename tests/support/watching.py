"""Somebody who asks both doors of a cloud of all its servers, whenever a message is about to leave anywhere in it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from novaflow.db import ec2_ids
from novaflow.db.ec2_ids import Ec2Ids, shown
from rpc.memory import MemoryBroker, MemoryTransport
from rpc.settings import BusSettings
from rpc.transport import Destination, Message
from tests.support.both_views import Shown, Sight, disagreements
from tests.support.compute_api import ComputeApi
from tests.support.ec2_door import Door

WHO: Final = "alice"
_ALL: Final = "/servers/detail?changes-since=2000-01-01T00:00:00Z"  # those that are deleted too
_TRIES: Final = 20  # a server may change while it is looked at
State = tuple[str, str, str | None]
"""A server with the vm_state and the task_state that the Compute API shows of it."""


class WatchedTransport(MemoryTransport):
    """Has the watcher look before a message leaves."""

    def __init__(self, broker: MemoryBroker, settings: BusSettings, look: Callable[[], Awaitable[None]]) -> None:
        super().__init__(broker, settings)
        self._look = look

    def post(self, to: Destination, message: Message) -> bool:
        """Never: it has to be waited for."""
        return False

    async def publish(self, to: Destination, message: Message, *, timeout: float | None = None) -> None:
        """Look, then publish."""
        await self._look()
        await super().publish(to, message, timeout=timeout)


@dataclass
class Watcher:
    """Compares the doors. `seen` is where servers were found; `wrong` is what the doors said of them that does not agree."""

    api: ComputeApi | None = None
    ec2: Door | None = None
    seen: set[State] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    async def look(self) -> None:
        """Ask both doors of all servers that there are and were, as soon as there are doors."""
        if self.api is None or self.ec2 is None:
            return
        for _ in range(_TRIES):
            servers = (await self.api.get(_ALL, who=WHO))["servers"]
            attached = {server["id"]: await self._attached(self.api, server["id"]) for server in servers}
            reservations = (await self.ec2.ask("describe_instances", who=WHO))["Reservations"]
            if servers == (await self.api.get(_ALL, who=WHO))["servers"]:
                names = await self._names(self.api, servers, attached)
                flavors = {one["id"]: one["name"] for one in (await self.api.get("/flavors", who=WHO))["flavors"]}
                self.wrong += disagreements(Sight(servers, reservations, attached, names, flavors))
                self.seen |= {place(server) for server in servers}
                return
        self.wrong.append("nothing stood still")

    async def _attached(self, api: ComputeApi, server_id: str) -> list[Shown]:
        """The volumes of a server; one that is deleted has none."""
        reply = await api.ask("GET", f"/servers/{server_id}/os-volume_attachments", who=WHO)
        return reply.body["volumeAttachments"] if reply.status == HTTPStatus.OK else []

    async def _names(self, api: ComputeApi, servers: list[Shown], attached: dict[str, list[Shown]]) -> dict[str, str]:
        ids = Ec2Ids(api.database)
        things = {
            ("i", ec2_ids.INSTANCE): [server["id"] for server in servers],
            ("ami", ec2_ids.IMAGE): [server["image"]["id"] for server in servers],
            ("vol", ec2_ids.VOLUME): [one["volumeId"] for some in attached.values() for one in some],
        }
        names: dict[str, str] = {}
        for (prefix, kind), some in things.items():
            names |= {one: shown(prefix, number) for one, number in (await ids.numbers(kind, some)).items()}
        return names


def place(server: Shown) -> State:
    """Where a server is, as the Compute API shows it."""
    return server["id"], server["OS-EXT-STS:vm_state"], server["OS-EXT-STS:task_state"]
