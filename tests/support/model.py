"""A cloud beside its model: servers as the state table says they must be, and what that means for guests, rooms and quota."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from novaflow.lab.openstack import ApiError, OpenStack
from novaflow.states import Task, Vm
from tests.support.rest_actions import ACCEPTED, BY_NAME, RestAction, ends, is_allowed, order, place

PATIENCE: Final = 60.0  # seconds a server may take to settle
SIZES: Final = {"1": (1, 512), "twin": (2, 1024)}  # vCPUs and MB of the flavors that servers here have
_PAUSE: Final = 0.03
Shown = Mapping[str, Any]


@dataclass
class ModelledCloud:
    """A cloud on the fake driver or on libvirt, driven by REST. `guests` lists host and server of every guest there is."""

    client: OpenStack
    image: str
    guests: Callable[[], list[tuple[str, str]]]
    alive: dict[str, Shown] = field(default_factory=dict)  # as shown when they were settled last
    origins: dict[str, tuple[str, str]] = field(default_factory=dict)  # host and flavor before the last resize
    made: int = 0
    story: list[str] = field(default_factory=list)  # what was done so far

    async def boot(self, **more: object) -> Shown:
        """A new server, once it is active."""
        self.made += 1
        server_id = await self.client.boot(f"model-{self.made}", self.image, "1", networks="auto", **more)
        self.story.append(f"{server_id} boots")
        self.alive[server_id] = server = await self.settled(server_id)
        assert place(server) == (Vm.ACTIVE, Task.IDLE), server.get("fault")
        return server

    async def act(self, server_id: str, action: RestAction) -> None:
        """Order an action of a settled server: it is refused, or leads where the table says."""
        before = self.alive[server_id]
        self.story.append(f"{server_id} {_state(before)}: {action}")
        if not is_allowed(action, before):
            assert await self.refusal(server_id, action) == HTTPStatus.CONFLICT
            assert _facts(await self.settled(server_id)) == _facts(before)
            return
        await order(self.client, action, before, self.image)
        if action.body is None:
            await self._gone(server_id)
            return
        after = await self._keep(server_id, before)
        facts = action.name, place(before), place(after)
        assert place(after)[0] in _ends(place(before)[0], action), (*facts, await self._last_action(server_id))

    async def refusal(self, server_id: str, action: RestAction) -> int:
        """The status of the answer to an action that must be refused; that of an accepted one when it is not."""
        try:
            await order(self.client, action, self.alive[server_id], self.image)
        except ApiError as error:
            return error.status
        return HTTPStatus.ACCEPTED

    async def interrupt(self, server_id: str, action: RestAction, pause: float) -> None:
        """Order an action and, whatever comes of it, a delete a moment later."""
        before = self.alive[server_id]
        self.story.append(f"{server_id} {_state(before)}: {action}, deleted {pause:.3f} s later")
        if is_allowed(action, before):
            await order(self.client, action, before, self.image)
        await asyncio.sleep(pause)
        await order(self.client, BY_NAME["delete"], before, self.image, accept=(*ACCEPTED, HTTPStatus.NOT_FOUND))
        await self._gone(server_id)

    async def both(self, server_id: str, one: RestAction, other: RestAction) -> None:
        """Order two actions of one server at the same moment: at most one is accepted, and that one ends as it must."""
        before = self.alive[server_id]
        self.story.append(f"{server_id} {_state(before)}: {one} and {other} at once")
        answers = await asyncio.gather(
            *(order(self.client, action, before, self.image) for action in (one, other)), return_exceptions=True
        )
        for error in answers:
            assert not isinstance(error, BaseException) or (
                isinstance(error, ApiError) and error.status in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND)
            ), error
        accepted = [a for a, answer in zip((one, other), answers, strict=True) if not isinstance(answer, BaseException)]
        if any(action.body is None for action in accepted):
            await self._gone(server_id)
            return
        after = await self._keep(server_id, before)
        possible = {place(before)[0]}
        for action in accepted:  # the second may have been accepted after the first was done
            possible |= {vm for start in set(possible) for vm in _ends(start, action)}
        assert place(after)[0] in possible, (one.name, other.name, place(before), place(after))

    async def settled(self, server_id: str) -> Shown:
        """The server, once nothing is being done to it."""
        until = time.monotonic() + PATIENCE
        while True:
            works = await self._works(server_id)  # asked first: what is over then shows in the server
            server = await self.client.server(server_id)
            assert server, f"server {server_id} is gone"
            vm, task = place(server)
            if task is Task.IDLE and vm is not Vm.BUILDING and not works:
                return server
            assert time.monotonic() < until, f"server {server_id} is stuck in {vm}/{task}"
            await asyncio.sleep(_PAUSE)

    async def _works(self, server_id: str) -> bool:
        """Confirming a resize shows no task_state: its action says whether it is over."""
        url = f"{self.client.compute}/servers/{server_id}/os-instance-actions"
        (latest, *_) = (await self.client.ask("GET", url))["instanceActions"]
        if latest["action"] != "confirmResize":
            return False
        action = (await self.client.ask("GET", f"{url}/{latest['request_id']}"))["instanceAction"]
        return not all(event["finish_time"] for event in action["events"]) or not action["events"]

    async def _keep(self, server_id: str, before: Shown) -> Shown:
        """The server as it is now, once it is settled."""
        self.alive[server_id] = after = await self.settled(server_id)
        if place(before)[0] is not Vm.RESIZED:
            self.origins[server_id] = before["OS-EXT-SRV-ATTR:host"], before["flavor"]["id"]
        return after

    async def _last_action(self, server_id: str) -> object:
        """How its last action went, for a test's last words."""
        url = f"{self.client.compute}/servers/{server_id}/os-instance-actions"
        return (await self.client.ask("GET", url))["instanceActions"][0]

    async def _gone(self, server_id: str) -> None:
        until = time.monotonic() + PATIENCE
        while await self.client.server(server_id):
            assert time.monotonic() < until, f"server {server_id} is not deleted"
            await asyncio.sleep(_PAUSE)
        self.alive.pop(server_id, None)

    async def end(self) -> None:
        """Delete everything; then nothing may be left anywhere."""
        for server_id in list(self.alive):
            await order(self.client, BY_NAME["delete"], self.alive[server_id], self.image, accept=(*ACCEPTED, 404))
            await self._gone(server_id)
        await self.check()

    # What must be true whenever every server is settled.

    async def check(self) -> None:
        """One guest where there should be one, and what is counted is what is there."""
        await self._until_equal("guests", self._guests_expected, self._guests_found)
        await self._until_equal("quota", self._quota_expected, self._quota_found)
        await self._until_equal("room", self._room_expected, self._room_found)

    async def _until_equal(self, what: str, expected: Callable[[], object], found: Callable[[], Any]) -> None:
        """Hosts clear away a moment after a server is said to have left them."""
        until = time.monotonic() + PATIENCE
        while (seen := await found()) != expected():
            assert time.monotonic() < until, f"{what}: {seen} instead of {expected()}"
            await asyncio.sleep(_PAUSE)

    def _guests_expected(self) -> object:
        return sorted(
            (server["OS-EXT-SRV-ATTR:host"], server_id)
            for server_id, server in self.alive.items()
            if place(server)[0] is not Vm.SHELVED_OFFLOADED
        )

    async def _guests_found(self) -> object:
        return self.guests()

    def _quota_expected(self) -> object:
        """While a resize may yet be reverted, the larger of the two flavors counts."""
        sizes = [(0, 0), *(_larger(self._sizes(server)) for server in self.alive.values())]
        return len(self.alive), sum(vcpus for vcpus, _ in sizes), sum(ram for _, ram in sizes)

    def _sizes(self, server: Shown) -> list[tuple[int, int]]:
        return [SIZES[flavor] for _, flavor in self._places(server)]

    def _places(self, server: Shown) -> Iterator[tuple[str | None, str]]:
        """The host and flavor that a server has, and, while it is resized, those that it had before."""
        yield server["OS-EXT-SRV-ATTR:host"], server["flavor"]["id"]
        if place(server)[0] is Vm.RESIZED:
            yield self.origins[server["id"]]

    async def _quota_found(self) -> object:
        used = (await self.client.ask("GET", f"{self.client.compute}/limits"))["limits"]["absolute"]
        return used["totalInstancesUsed"], used["totalCoresUsed"], used["totalRAMUsed"]

    def _room_expected(self) -> object:
        taken: Counter[str] = Counter()
        for server in self.alive.values():
            for host, flavor in self._places(server):
                if host:
                    taken[host] += SIZES[flavor][1]
        return dict(taken)

    async def _room_found(self) -> object:
        hypervisors = (await self.client.ask("GET", f"{self.client.compute}/os-hypervisors/detail"))["hypervisors"]
        return {one["service"]["host"]: one["memory_mb_used"] for one in hypervisors if one["memory_mb_used"]}


def _state(server: Shown) -> str:
    return f"{server['OS-EXT-STS:vm_state']} on {server['OS-EXT-SRV-ATTR:host']}"


def _larger(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    return max(vcpus for vcpus, _ in sizes), max(ram for _, ram in sizes)


def _ends(vm: Vm, action: RestAction) -> frozenset[Vm]:
    try:
        return ends(vm, action.event)
    except KeyError:
        return frozenset()


def _facts(server: Shown) -> object:
    return place(server), server["OS-EXT-SRV-ATTR:host"], server["flavor"]["id"]
