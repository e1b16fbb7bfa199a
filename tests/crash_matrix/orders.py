"""Servers that are brought to where an action begins, the action as a client orders it, and where it is at a moment."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import aiohttp

from novaflow.lab.openstack import ApiError
from novaflow.states import Event, Task, Vm
from novaflow.volumes import Status
from tests.crash_matrix.cases import AFTER, DOWN, REQUEST, Step, Trial
from tests.crash_matrix.cloud import SOURCE, TwoHosts
from tests.crash_matrix.storage import Sight, Things, VolumeAction, boot_devices, delete_thing, order_volume, sights
from tests.support.crashes import PATIENCE, until
from tests.support.rest_actions import order

ACCEPTED: Final = "accepted"
UNCLEAR: Final = "unclear"  # the connection broke: nobody knows whether it was accepted
_STANDING: Final = """
    SELECT s.id, s.name, s.vm, s.task, s.task_id, s.is_deleted,
           (SELECT COUNT(*) FROM tasks t WHERE t.server_id = s.id) AS ordered,
           (SELECT COUNT(*) FROM tasks t WHERE t.server_id = s.id AND t.state = 'running') AS running
    FROM servers s WHERE s.name LIKE '{prefix}-%'
"""


@dataclass(frozen=True)
class Standing:
    """Where a server is now; `ordered` actions were accepted so far, of which `running` have not ended."""

    id: str
    name: str
    vm: Vm
    task: str
    task_id: str | None
    is_deleted: bool
    ordered: int
    running: int

    @property
    def is_idle(self) -> bool:
        """Nothing is being done to it."""
        return not self.running and not self.task and self.vm != Vm.BUILDING


@dataclass
class Rider:
    """One server of a volley, and what becomes of the order to it."""

    trial: Trial
    name: str
    delay: float  # seconds after the others at which it is ordered
    pause: float = 0.0  # seconds that an action runs which it takes over from
    things: Things = field(init=False)
    ordered_before: int = 0  # actions that brought it to where the trial begins
    order_before: str = ""  # the last order of what a trial of volumes is about
    is_ordered: asyncio.Event = field(default_factory=asyncio.Event)
    answer: str = ""  # ACCEPTED, UNCLEAR, or the status of a refusal

    ordered_at: float = 0.0  # of the monotonic clock

    def __post_init__(self) -> None:
        self.things = Things(self.name)

    @property
    def server_id(self) -> str:
        """The server's, once there is one."""
        return self.things.server_id

    @property
    def looked_at(self) -> str:
        """The name of what the trial's action changes."""
        action = self.trial.action
        return self.things.called(action.of) if isinstance(action, VolumeAction) else self.name

    @property
    def seconds(self) -> float:
        """Since it was ordered."""
        return time.monotonic() - self.ordered_at

    def point(self, standing: Standing | Sight | None) -> str:
        """Where its action is, when what it changes is there; None: there is no such thing."""
        if not self.is_ordered.is_set():
            return DOWN
        if isinstance(standing, Sight):
            if standing.order_id == self.order_before:
                return REQUEST
            return AFTER if standing.is_idle else standing.status.value
        if standing is None or standing.ordered <= self.ordered_before:
            return REQUEST
        return AFTER if not standing.running else standing.task


async def standings(cloud: TwoHosts, prefix: str) -> dict[str, Standing]:
    """Where the servers are whose names begin so, by name."""
    rows = await cloud.rows(_STANDING.format(prefix=prefix))
    found = [Standing(row[0], row[1], Vm(row[2]), row[3], row[4], bool(row[5]), row[6], row[7]) for row in rows]
    return {standing.name: standing for standing in found}


async def places(cloud: TwoHosts, prefix: str) -> dict[str, Standing | Sight]:
    """The servers and what they have, by name."""
    return {**await standings(cloud, prefix), **await sights(cloud, prefix)}


async def prepare(cloud: TwoHosts, riders: Sequence[Rider], prefix: str, image: str) -> None:
    """Bring every rider's server to where its trial begins, all at the source."""
    servers = [rider for rider in riders if not rider.trial.boots]
    await asyncio.gather(*(_boot(cloud, rider, image) for rider in servers))
    await _idle(cloud, prefix)
    for step in range(max(len(rider.trial.path) for rider in riders)):
        walking = [rider for rider in riders if len(rider.trial.path) > step]
        await asyncio.gather(*(_order(cloud, rider, rider.trial.path[step], image) for rider in walking))
        await _idle(cloud, prefix)
    found, seen = await standings(cloud, prefix), await sights(cloud, prefix)
    for rider in servers:
        standing = found[rider.name]
        if rider.looked_at in seen:
            rider.order_before = seen[rider.looked_at].order_id
        assert standing.vm == rider.trial.starts, f"{rider.name} is {standing.vm} and not {rider.trial.starts}"
        rider.ordered_before = standing.ordered


async def launch(cloud: TwoHosts, rider: Rider, image: str) -> None:
    """Order the trial's action once, and note what the client is told."""
    await asyncio.sleep(rider.delay)
    try:
        if rider.trial.takes_over:
            await _order(cloud, rider, rider.trial.takes_over, image)
            rider.ordered_before += not isinstance(rider.trial.takes_over, VolumeAction)
            await asyncio.sleep(rider.pause)
        rider.ordered_at = time.monotonic()
        rider.is_ordered.set()
        await _order(cloud, rider, rider.trial.action, image)
    except ApiError as error:
        rider.answer = str(error.status)
    except (aiohttp.ClientError, TimeoutError):
        rider.answer = UNCLEAR
    else:
        rider.answer = ACCEPTED
    finally:
        rider.is_ordered.set()


async def force_down(cloud: TwoHosts, host: str, *, is_down: bool) -> None:
    """Say that a host is dead, or that it is not, until somebody hears it."""
    asked = {"host": host, "binary": "nova-compute", "forced_down": is_down}
    url = f"{cloud.client.compute}/os-services/force-down"

    async def is_said() -> bool:
        try:
            await cloud.client.ask("PUT", url, json=asked)
        except (aiohttp.ClientError, ApiError):
            return False
        return True

    await until(is_said, f"nobody hears of {host}")


async def delete_all(cloud: TwoHosts, prefix: str) -> None:
    """Have everything gone, whatever became of it."""

    async def are_gone() -> bool:
        left = [one for one in (await standings(cloud, prefix)).values() if not one.is_deleted]
        await asyncio.gather(*(_force_delete(cloud, one.id) for one in left if one.task != Task.DELETING))
        return not left

    await until(are_gone, "servers cannot be deleted", pause=0.2)
    await until(partial(_are_things_gone, cloud, prefix), "volumes cannot be deleted", pause=0.2)


async def _are_things_gone(cloud: TwoHosts, prefix: str) -> bool:
    left = [one for one in (await sights(cloud, prefix)).values() if one.status is not Status.DELETED]
    await asyncio.gather(*(delete_thing(cloud.client, one.id) for one in left if one.is_idle))
    return not left


async def _force_delete(cloud: TwoHosts, server_id: str) -> None:
    url = f"{cloud.client.compute}/servers/{server_id}/action"
    await cloud.client.ask("POST", url, json={"forceDelete": None}, accept=(202, 204, 404, 409, 503))


async def _boot(cloud: TwoHosts, rider: Rider, image: str) -> None:
    facts: dict[str, Any] = {"networks": "auto", "availability_zone": f"nova:{SOURCE}"}
    if rider.trial.boots_with_volumes:
        facts["block_device_mapping_v2"] = boot_devices(image, rider.things)
    rider.things.server_id = await cloud.client.boot(rider.name, image, "1", **facts)


async def _order(cloud: TwoHosts, rider: Rider, action: Step, image: str) -> None:
    if isinstance(action, VolumeAction):
        await order_volume(cloud.client, action, rider.things)
    elif action.event is Event.CREATE_ORDERED:
        await _boot(cloud, rider, image)
    else:
        await order(cloud.client, action, {"id": rider.server_id, "flavor": {"id": "1"}}, image)


async def _idle(cloud: TwoHosts, prefix: str) -> None:
    async def are_idle() -> bool:
        return all(place.is_idle for place in (await places(cloud, prefix)).values())

    await until(are_idle, f"servers did not get ready within {PATIENCE:g} s", pause=0.05)
