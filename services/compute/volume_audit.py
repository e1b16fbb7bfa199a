"""The volumes of a host against the records: what is attached and should not be, what should be and is not, files that nobody wants.

What an order is at work on is left to it. A file that the database has never heard of is left alone and said, as guests are.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from novaflow.errors import GuestFailed, NovaflowError
from novaflow.messages import HostVolumes
from novaflow.states import Power
from novaflow.virt.driver import StoredVolume
from novaflow.volumes import ENDINGS, Status, Volume, VolumeSnapshot
from rpc.errors import BusError
from services.compute.host import ComputeHost

log = logging.getLogger(__name__)
_NOBODY: Final = ""


class VolumeAudit:
    """Keeps the volumes of one host and the records of them alike."""

    def __init__(self, host: ComputeHost) -> None:
        self._host = host
        self._told: set[str] = set()

    async def run(self) -> None:
        """Compare at the start, then every `compute.sync_power_state_interval` seconds, until cancelled."""
        while True:
            await self._surviving(self.audit)
            await self._host.clock.sleep(self._host.config.compute.sync_power_state_interval)

    async def audit(self) -> None:
        """List what is here, ask the database, put right what differs."""
        stored, snapshots = await self._host.driver.volumes(), await self._host.driver.volume_snapshots()
        said = await self._host.records.host_volumes([one.volume_id for one in stored], snapshots)
        await self._clear_snapshots(snapshots, {one.id: one for one in said.snapshots})
        records = {one.id: one for one in said.volumes}
        for one in stored:
            record = records.get(one.volume_id)
            if record is None:
                self._tell("volume", one.volume_id)
            elif self._differs(one, record, said):
                await self.put_right(one.volume_id)
        for missing in records.keys() - {one.volume_id for one in stored}:
            if records[missing].status is Status.IN_USE:
                self._tell_missing(records[missing])

    async def put_right(self, volume_id: str) -> None:
        """Have the volume be whose it is by the records, with its server's turn held."""
        noted = await self._stored(volume_id)
        record = await self._record(volume_id)
        server_id = noted.server_id or (record[0].server_id if record else None) or volume_id
        async with self._host.slots.hold(server_id):
            noted, record = await self._stored(volume_id), await self._record(volume_id)
            if record is not None and self._differs(noted, *record):
                await self._set_right(noted, record[0])

    async def _set_right(self, noted: StoredVolume, record: Volume) -> None:
        driver, name = self._host.driver, self._host.name
        try:
            if noted.server_id and noted.server_id != record.server_id:
                log.warning("host %s: volume %s is taken from server %s", name, record.id, noted.server_id)
                timeout = self._host.config.compute.detach_timeout
                await driver.detach_volume(noted.server_id, record.id, timeout)
            if record.status is Status.DELETED or self._is_elsewhere(record):
                why = f"is kept on host {record.host}" if self._is_elsewhere(record) else "is deleted"
                log.warning("host %s: removing volume %s, which %s", name, record.id, why)
                await driver.remove_volume(record.id)
            elif record.server_id and await driver.power(record.server_id) is not Power.NOSTATE:
                await driver.attach_volume(record.server_id, record.id, record.device)
        except GuestFailed as error:
            log.warning("host %s: volume %s is put right later: %s", name, record.id, error)

    async def _clear_snapshots(self, here: Sequence[str], records: dict[str, VolumeSnapshot]) -> None:
        for snapshot_id in here:
            record = records.get(snapshot_id)
            if record is None:
                self._tell("snapshot", snapshot_id)
            elif record.status is Status.DELETED:
                log.warning("host %s: removing snapshot %s, which is deleted", self._host.name, snapshot_id)
                await self._host.driver.remove_volume_snapshot(snapshot_id)

    async def _stored(self, volume_id: str) -> StoredVolume:
        found = {one.volume_id: one for one in await self._host.driver.volumes()}
        return found.get(volume_id, StoredVolume(volume_id=volume_id))

    async def _record(self, volume_id: str) -> tuple[Volume, HostVolumes] | None:
        said = await self._host.records.host_volumes([volume_id], ())
        found = next((one for one in said.volumes if one.id == volume_id), None)
        return None if found is None else (found, said)

    def _differs(self, noted: StoredVolume, record: Volume, said: HostVolumes) -> bool:
        """Is there something to put right? An order that runs does that itself."""
        if record.status in ENDINGS:
            return False
        wanted = record.server_id or _NOBODY
        if record.status is Status.DELETED or self._is_elsewhere(record) or noted.server_id not in (_NOBODY, wanted):
            return True
        return wanted in said.ready_servers

    def _is_elsewhere(self, record: Volume) -> bool:
        """What is here was made by a build that did not end here."""
        return record.host not in (None, self._host.name)

    def _tell(self, kind: str, thing_id: str) -> None:
        if thing_id not in self._told:
            self._told.add(thing_id)
            name = self._host.name
            log.error("host %s has %s %s, which the database does not know: it is left alone", name, kind, thing_id)

    def _tell_missing(self, record: Volume) -> None:
        if record.id not in self._told:
            self._told.add(record.id)
            log.error("host %s does not have volume %s of server %s", self._host.name, record.id, record.server_id)

    async def _surviving(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (NovaflowError, BusError) as error:
            log.warning("volumes of host %s are audited later: %s", self._host.name, error)
        except Exception:
            log.exception("volumes of host %s could not be audited", self._host.name)
