"""compute.instance.* notifications: what servers begin, end and fail at, for whoever listens on the notifications topic.

They are read off the transitions after they are committed. Every task_state has a name here; a server that enters one has begun
that, and one that leaves it has ended it, or failed at it. Names and payload are those of Nova's unversioned notifications
(nova/compute/utils.py, notify_about_instance_usage; nova/notifications/base.py, info_from_instance). Like Nova's they may be lost with a
process: whoever needs certainty reads the instance actions.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from novaflow.clock import Clock
from novaflow.db.database import Database
from novaflow.db.servers import Servers
from novaflow.db.transitions import Transition
from novaflow.errors import NovaflowError
from novaflow.models import Server
from novaflow.states import Event, State, Task, Vm
from rpc.bus import Bus
from rpc.errors import BusError
from rpc.notifications import ERROR, INFO, Notification
from services.runtime import Runtime

PREFIX: Final = "compute.instance."
WAITING: Final = 10_000  # transitions that may wait to be told before later ones are dropped
DRAIN_SECONDS: Final = 5.0  # a stopping service tells what it has left
log = logging.getLogger(__name__)
_FAILURES: Final = frozenset({Event.FAILED, Event.BROKEN, Event.BUILD_FAILED})
# fmt: off
_NAMES: Final = {
    Task.POWERING_OFF: "power_off", Task.POWERING_ON: "power_on",
    Task.PAUSING: "pause", Task.UNPAUSING: "unpause", Task.SUSPENDING: "suspend", Task.RESUMING: "resume",
    Task.REBOOTING: "reboot", Task.REBOOT_PENDING: "reboot", Task.REBOOT_STARTED: "reboot",
    Task.REBOOTING_HARD: "reboot", Task.REBOOT_PENDING_HARD: "reboot", Task.REBOOT_STARTED_HARD: "reboot",
    Task.IMAGE_SNAPSHOT_PENDING: "snapshot", Task.IMAGE_SNAPSHOT: "snapshot", Task.IMAGE_BACKUP: "snapshot",
    Task.IMAGE_PENDING_UPLOAD: "snapshot", Task.IMAGE_UPLOADING: "snapshot",
    Task.REBUILDING: "rebuild", Task.REBUILD_BLOCK_DEVICE_MAPPING: "rebuild", Task.REBUILD_SPAWNING: "rebuild",
    Task.RESCUING: "rescue", Task.UNRESCUING: "unrescue", Task.UPDATING_PASSWORD: "password",
    Task.RESIZE_PREP: "resize.prep", Task.RESIZE_MIGRATING: "resize", Task.RESIZE_MIGRATED: "resize",
    Task.RESIZE_FINISH: "finish_resize", Task.RESIZE_REVERTING: "resize.revert", Task.RESIZE_CONFIRMING: "resize.confirm",
    Task.MIGRATING: "live_migration",
    Task.SHELVING: "shelve", Task.SHELVING_IMAGE_PENDING_UPLOAD: "shelve", Task.SHELVING_IMAGE_UPLOADING: "shelve",
    Task.SHELVING_OFFLOADING: "shelve_offload", Task.UNSHELVING: "unshelve", Task.SPAWNING: "unshelve",
    Task.SOFT_DELETING: "soft_delete", Task.RESTORING: "restore", Task.DELETING: "delete",
}
# fmt: on
_INTERFERENCE: Final = {
    Event.ABORT_WANTED: ("live.migration.abort.start",),
    Event.COMPLETION_WANTED: ("live.migration.force.complete.start", "live.migration.force.complete.end"),
    Event.LIVE_MIGRATION_CANCELLED: (
        "live_migration._rollback.start",
        "live_migration._rollback.end",
        "live.migration.abort.end",
    ),
}
"""What Nova tells of a live migration that an administrator does not let go its way: that has no `.end` of its own then."""


def told_of(moved: Transition) -> Iterator[tuple[str, str]]:
    """The types of event of a transition, each with its priority, in the order they happened."""
    if moved.event in _INTERFERENCE:
        yield from ((PREFIX + name, INFO) for name in _INTERFERENCE[moved.event])
        return
    before, after = _doing(moved.before), _doing(moved.after)
    if before and moved.event in _FAILURES:
        yield f"{PREFIX}{before}.error", ERROR
    elif moved.event is Event.RESCHEDULED:
        yield f"{PREFIX}create.error", ERROR
    elif before and before != after:
        yield f"{PREFIX}{before}.end", INFO
    if after and after != before:
        yield f"{PREFIX}{after}.start", INFO


def _doing(state: State | None) -> str:
    """What is being done to a server; empty for nothing."""
    if state is None:
        return ""
    if state.vm is Vm.BUILDING and state.task is not Task.DELETING:
        return "create"
    if state.vm is Vm.SHELVED and state.task is Task.POWERING_ON:
        return "unshelve"
    return _NAMES.get(state.task, "")


class Notifications:
    """Hears of transitions, and tells them one after the other."""

    def __init__(self, clock: Clock, topic: str) -> None:
        self._clock = clock
        self._topic = topic
        self._heard: asyncio.Queue[Transition] = asyncio.Queue(WAITING)
        self._has_dropped = False

    def hear(self, moved: Transition) -> None:
        """To be told soon. Never waits: what is too much is dropped, and said once."""
        try:
            self._heard.put_nowait(moved)
            self._has_dropped = False
        except asyncio.QueueFull:
            if not self._has_dropped:
                log.warning("notifications are dropped: %d wait for the broker", WAITING)
            self._has_dropped = True

    async def tell(self, bus: Bus, find: Callable[[str], Awaitable[Server]]) -> None:
        """Tell what was heard, until cancelled. What cannot be told is dropped and said."""
        while True:
            moved = await self._heard.get()
            try:
                for event_type, priority in told_of(moved):
                    await self._publish(bus, moved, event_type, priority, await find(moved.server_id))
            except (BusError, NovaflowError) as error:
                log.warning("a notification about server %s is lost: %s", moved.server_id, error)
            except Exception:
                log.exception("a notification about server %s is lost", moved.server_id)
            finally:
                self._heard.task_done()

    async def drained(self) -> None:
        """Wait until all that was heard is told."""
        await self._heard.join()

    async def _publish(self, bus: Bus, moved: Transition, event_type: str, priority: str, server: Server) -> None:
        payload = payload_of(server)
        if priority == ERROR and server.fault:
            payload["exception"] = payload["message"] = server.fault.message
        notification = Notification(
            event_type=event_type,
            publisher_id=f"compute.{moved.host or server.host or 'none'}",
            payload=payload,
            priority=priority,
            context={"project_id": server.project_id, "user_id": server.user_id},
        )
        await bus.notify(self._topic, notification, now=self._clock.now())


def payload_of(server: Server) -> dict[str, Any]:
    """Nova's description of a server in notifications."""
    flavor = server.flavor
    return {
        "tenant_id": server.project_id,
        "user_id": server.user_id,
        "instance_id": server.id,
        "display_name": server.name,
        "reservation_id": server.reservation_id,
        "hostname": server.hostname,
        "instance_type": flavor.name,
        "instance_flavor_id": flavor.id,
        "memory_mb": flavor.ram_mb,
        "vcpus": flavor.vcpus,
        "root_gb": flavor.disk_gb,
        "ephemeral_gb": flavor.ephemeral_gb,
        "disk_gb": flavor.disk_gb + flavor.ephemeral_gb,
        "host": server.host,
        "node": server.host,
        "availability_zone": server.availability_zone,
        "created_at": str(server.created_at),
        "launched_at": str(server.launched_at or ""),
        "deleted_at": str(server.deleted_at or ""),
        "terminated_at": str(server.deleted_at or ""),
        "image_ref_url": server.image_id,
        "image_meta": {"base_image_ref": server.image_id},
        "kernel_id": server.kernel_id,
        "ramdisk_id": server.ramdisk_id,
        "state": server.vm.value,
        "state_description": server.task.wire or "",
        "progress": server.progress,
        "access_ip_v4": server.access_ipv4,
        "access_ip_v6": server.access_ipv6,
        "metadata": server.metadata,
        "fixed_ips": [
            {"address": address.ip, "version": address.version, "label": address.network, "vif_mac": address.mac}
            for address in server.addresses
        ],
    }


@asynccontextmanager
async def telling(
    runtime: Runtime, bus: Bus, database: Database, record: Callable[[Transition], None]
) -> AsyncIterator[Callable[[Transition], None]]:
    """What a service's Servers tell of each transition: `record`, and notifications where the configuration wants them.

    What is left to be told when the block ends is told then.
    """
    settings = runtime.config.notifications
    if not settings.enabled:
        yield record
        return
    notifications = Notifications(runtime.clock, settings.topic)
    servers = Servers(database, runtime.clock)
    teller = asyncio.create_task(notifications.tell(bus, partial(servers.get, deleted=True)), name="notifications")

    def hear(moved: Transition) -> None:
        record(moved)
        notifications.hear(moved)

    try:
        yield hear
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await notifications.drained()
        except TimeoutError:
            log.warning("notifications that the broker did not take are lost")
    finally:
        teller.cancel()
        await asyncio.wait([teller])
