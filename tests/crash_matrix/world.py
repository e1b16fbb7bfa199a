"""Everything there is at one moment: the rows of the database, the files of both hosts and of the image service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.schema.compute import addresses, migrations, servers, tasks, usages
from novaflow.db.schema.hosts import hosts
from novaflow.db.schema.images import image_properties, images
from novaflow.db.schema.volumes import volume_snapshots, volumes
from novaflow.images.image import Status
from novaflow.virt.driver import StoredVolume
from novaflow.virt.fake import FakeGuest
from novaflow.virt.fake.files import HostFiles
from novaflow.virt.volume_files import VolumeFiles
from tests.crash_matrix.cloud import TwoHosts

Row = Any
_OWN: Final = frozenset({"boot_id"})  # files of a host that belong to no server


@dataclass(frozen=True)
class Problem:
    """Something that may not be, and of which server, volume or snapshot; empty when it is nobody's."""

    kind: str  # stuck, double, orphan, drift, disagreement, unlawful
    owner_id: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclass(frozen=True)
class HostDisk:
    """What a host has on its disk."""

    guests: Mapping[str, FakeGuest]
    parked: Sequence[str]
    files: Sequence[str]  # all of them, by their paths below the host's directory
    volumes: Mapping[str, StoredVolume] = field(default_factory=dict)
    snapshots: Sequence[str] = ()  # of volumes


@dataclass(frozen=True)
class World:
    """All of it. Rows have the columns of their tables."""

    servers: Mapping[str, Row]  # by id, those that are there
    tasks: Sequence[Row]  # of all servers that ever were, the oldest first
    migrations: Sequence[Row]
    hosts: Sequence[Row]
    usages: Sequence[Row]
    addressed: frozenset[str]  # servers that hold an address
    images: Mapping[str, Row]
    made_of: Mapping[str, str]  # image id -> the server that it is an image of
    disks: Mapping[str, HostDisk]
    stored: frozenset[str]  # files of the image service
    volumes: Mapping[str, Row] = field(default_factory=dict)  # by id, all that ever were
    snapshots: Mapping[str, Row] = field(default_factory=dict)


async def world(cloud: TwoHosts) -> World:
    """As it is now. The rows are of one moment, the files of a moment later."""

    async def work(connection: AsyncConnection) -> dict[str, Sequence[Row]]:
        return {name: (await connection.execute(query)).all() for name, query in _QUERIES.items()}

    rows = await cloud.records.read(work)
    return World(
        servers={row.id: row for row in rows["servers"]},
        tasks=rows["tasks"],
        migrations=rows["migrations"],
        hosts=rows["hosts"],
        usages=rows["usages"],
        addressed=frozenset(row.server_id for row in rows["addresses"]),
        images={row.id: row for row in rows["images"]},
        made_of={row.image_id: row.value for row in rows["properties"]},
        disks={host: _disk(directory) for host, directory in cloud.directories.items()},
        stored=frozenset(_below(cloud.state_dir / "images")),
        volumes={row.id: row for row in rows["volumes"]},
        snapshots={row.id: row for row in rows["snapshots"]},
    )


_QUERIES: Final[Mapping[str, Select[Any]]] = {
    "servers": select(servers).where(servers.c.is_deleted.is_(False)),
    "tasks": select(tasks).order_by(tasks.c.created_at),
    "migrations": select(migrations),
    "hosts": select(hosts),
    "usages": select(usages),
    "addresses": select(addresses.c.server_id),
    "images": select(images).where(images.c.status != Status.DELETED),
    "volumes": select(volumes),
    "snapshots": select(volume_snapshots),
    "properties": select(image_properties).where(image_properties.c.name == "instance_uuid"),
}


def _disk(directory: Path) -> HostDisk:
    found = HostFiles(directory)
    files = [name for name in _below(directory) if name not in _OWN]
    kept = VolumeFiles(directory)
    return HostDisk(
        guests=found.guests(),
        parked=found.parked_ids(),
        files=files,
        volumes={one.volume_id: one for one in kept.all()},
        snapshots=kept.all_snapshots(),
    )


def _below(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())
