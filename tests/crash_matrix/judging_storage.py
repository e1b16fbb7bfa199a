"""What may not be of volumes and their snapshots: pure, from the rows and the files of both hosts.

What is in use of their quotas is not kept anywhere: it is counted from the rows (novaflow.db.volume_usage), so it is exact when rows are.
"""

from collections.abc import Iterator, Mapping

from novaflow.volumes import ATTACHED, ENDINGS, Status
from tests.crash_matrix.world import Problem, Row, World


def storage_problems(world: World) -> Iterator[Problem]:
    """Whatever is wrong with them when nothing should be under way."""
    volumes, snapshots = _live(world.volumes), _live(world.snapshots)
    for row in (*volumes.values(), *snapshots.values()):
        if row.status in ENDINGS or row.status is Status.RESERVED:
            yield Problem("stuck", row.id, f"{row.name} is {row.status} for order {row.order_id}")
    for row in volumes.values():
        yield from _of_volume(row, world)
    for row in snapshots.values():
        if row.status is Status.AVAILABLE and row.host and row.id not in world.disks[row.host].snapshots:
            yield Problem("disagreement", row.id, f"{row.name} is {row.status}, and {row.host} does not have it")
    for host, disk in world.disks.items():
        for wanted, stored in ((volumes, disk.volumes), (snapshots, disk.snapshots)):
            for thing_id in stored:
                if thing_id not in wanted or wanted[thing_id].host != host:
                    yield Problem("orphan", thing_id, f"there is a file of {thing_id} at {host}")


def _live(rows: Mapping[str, Row]) -> dict[str, Row]:
    return {row.id: row for row in rows.values() if not row.is_deleted}


def _of_volume(row: Row, world: World) -> Iterator[Problem]:
    """Its file is where it should be, and it is whose it is said to be."""
    told = f"{row.name} is {row.status}"
    stored = world.disks[row.host].volumes.get(row.id) if row.host else None
    server = world.servers.get(row.server_id or "")
    wrong = {
        "has no file": row.status in (Status.AVAILABLE, Status.IN_USE) and row.host and stored is None,
        "is nobody's": row.status is Status.IN_USE and (server is None or server.host != row.host),
        f"server {row.server_id} has it": row.status not in ATTACHED and row.server_id,
        "is another's on its host": stored is not None and stored.server_id != (row.server_id or ""),
        "has another device there": stored is not None and stored.device != row.device,
    }
    for what, is_so in wrong.items():
        if is_so:
            yield Problem("disagreement", row.id, f"{told}, and it {what}")


def is_stored(name: str, world: World, host: str) -> bool:
    """Whether a file below a host's directory is one of a volume or a snapshot that is there."""
    disk = world.disks[host]
    folder, _, rest = name.partition("/")
    if folder == "volume_snapshots":
        return rest in disk.snapshots
    thing_id, _, file = rest.partition("/")
    has_note = thing_id in disk.volumes and bool(disk.volumes[thing_id].server_id)
    return (
        folder == "volumes" and thing_id in disk.volumes and (file == "disk" or (file == "attached.json" and has_note))
    )
