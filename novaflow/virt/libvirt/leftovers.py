"""What a process that was killed in the middle left behind: a copying or a migration that goes on, a guest half parked.

Each is recognised by a file in the guest's directory that is written first and removed last.
"""

import asyncio
import time
from pathlib import Path
from typing import Final

import libvirt

from novaflow.virt.domain_facts import Owner
from novaflow.virt.instance_files import DEFINITION, InstanceFiles
from novaflow.virt.libvirt import between, domains
from novaflow.virt.libvirt.connection import Connection

COPYING: Final = (
    "copying"  # holds the path of the file that a snapshot is being written to, and that of the disk, a line each
)
LEAVING: Final = "leaving"  # to be with a guest that migrates; holds where to
_ABORT_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.05
_OVER: Final = (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_DOMAIN)
"""What is said of a copying that ended, of its own accord or with the guest, between a look and the abortion."""


async def clear(connection: Connection, files: InstanceFiles, owner: Owner, server_id: str) -> None:
    """Make the guest what it was before an interrupted snapshot or migration. Nearly free where there is nothing to do."""
    marker, leaving = files.of(server_id) / COPYING, files.of(server_id) / LEAVING
    if marker.exists():
        disk = marker.read_text().partition("\n")[2]
        await connection.run(end_copy, owner, server_id, disk or str(files.of(server_id) / "disk"))
        await asyncio.to_thread(_remove, marker)
    if leaving.exists():
        await connection.run(end_job, owner, server_id)
        await connection.run(_finish_leaving, owner, files, server_id)


async def clear_all(connection: Connection, files: InstanceFiles, owner: Owner) -> None:
    """The same for every guest of a host, when it opens; and what was on its way to be parked is parked."""
    for server_id in files.all_ids():
        await clear(connection, files, owner, server_id)
        if (files.of(server_id) / DEFINITION).exists() and not files.aside(server_id).exists():
            await connection.run(_finish_parking, owner, files, server_id)


def end_job(link: libvirt.virConnect, owner: Owner, server_id: str) -> None:
    """Abort whatever long job our domain is in, and wait until it is over; fine when there is none."""
    domain = domains.look(link, owner, server_id)
    until = time.monotonic() + _ABORT_SECONDS
    while domain is not None and is_at_work(domain) and time.monotonic() < until:
        try:
            domain.abortJob()
        except libvirt.libvirtError as error:
            if not domains.says(error, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN):
                raise
        time.sleep(_LOOK_SECONDS)


def end_copy(link: libvirt.virConnect, owner: Owner, server_id: str, disk: str) -> None:
    """Abort the copying of the disk of that path, and wait until it is over; fine when nobody copies it."""
    domain = domains.look(link, owner, server_id)
    device = domains.target_of(domain, disk) if domain else ""
    until = time.monotonic() + _ABORT_SECONDS
    while domain is not None and domains.copying(domain, device) and time.monotonic() < until:
        try:
            domain.blockJobAbort(device)
        except libvirt.libvirtError as error:
            if not domains.says(error, *_OVER):
                raise
        time.sleep(_LOOK_SECONDS)


def is_at_work(domain: libvirt.virDomain) -> bool:
    """Is a long job on: saving, copying, migrating? False when the domain is off or gone."""
    try:
        return bool(domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE)
    except libvirt.libvirtError as error:
        if domains.says(
            error, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_NO_SUPPORT
        ):
            return False
        raise


def _remove(marker: Path) -> None:
    Path(marker.read_text().partition("\n")[0]).unlink(missing_ok=True)
    marker.unlink()


def _finish_leaving(link: libvirt.virConnect, owner: Owner, files: InstanceFiles, server_id: str) -> None:
    """When all of a guest has arrived it is forgotten here: then its files are nobody's. Else it goes on here."""
    domain = domains.look(link, owner, server_id)
    if domain is None:
        files.remove(server_id)
    else:
        between.go_on(domain)
        (files.of(server_id) / LEAVING).unlink()


def _finish_parking(link: libvirt.virConnect, owner: Owner, files: InstanceFiles, server_id: str) -> None:
    """Its definition is gone from libvirt already: only the directory has to follow."""
    if domains.look(link, owner, server_id) is None:
        files.of(server_id).rename(files.aside(server_id))
