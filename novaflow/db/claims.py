"""What servers take on their hosts.

Every claim is the `host` column of a server (or, while it moves, the `claim_host` column of its migration too: novaflow.db.moving) and
the `used` columns of that host, changed in one transaction, the server's row first. So the rows are always locked in the same order, and whoever holds a host's row sees in the
committed servers exactly what the host's counters mean.
"""

from typing import Any, Final

from sqlalchemy import Float, bindparam, func, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from novaflow.config import Scheduler
from novaflow.db.database_time import database_time
from novaflow.db.schema.compute import migrations, servers
from novaflow.db.schema.hosts import hosts
from novaflow.models import Flavor


def _fits(name: str) -> ColumnElement[bool]:
    """The host's `name` column has room for the bind of that name, times its allocation ratio."""
    wanted: ColumnElement[int] = hosts.c[f"{name}_used"] + bindparam(f"b_{name}")
    limit: ColumnElement[float] = hosts.c[name] * bindparam(f"b_{name}_ratio", type_=Float)
    return wanted <= limit


_TAKE: Final = (
    update(hosts)
    .where(hosts.c.name == bindparam("b_host"), _fits("vcpus"), _fits("ram_mb"), _fits("disk_gb"))
    .values(
        vcpus_used=hosts.c.vcpus_used + bindparam("b_vcpus"),
        ram_mb_used=hosts.c.ram_mb_used + bindparam("b_ram_mb"),
        disk_gb_used=hosts.c.disk_gb_used + bindparam("b_disk_gb"),
        servers=hosts.c.servers + 1,
        changed_at=database_time(),
    )
)
_GIVE_BACK: Final = (
    update(hosts)
    .where(hosts.c.name == bindparam("b_host"))
    .values(
        vcpus_used=hosts.c.vcpus_used - bindparam("b_vcpus"),
        ram_mb_used=hosts.c.ram_mb_used - bindparam("b_ram_mb"),
        disk_gb_used=hosts.c.disk_gb_used - bindparam("b_disk_gb"),
        servers=hosts.c.servers - 1,
        changed_at=database_time(),
    )
)
_USED: Final = ("vcpus_used", "ram_mb_used", "disk_gb_used", "servers")
_LOCK: Final = select(*(hosts.c[name] for name in _USED)).where(hosts.c.name == bindparam("b_host")).with_for_update()
# One statement, so that a server that is handed over to another host is seen on both as before or as after.
_taken: Final = union_all(
    select(servers.c.vcpus, servers.c.ram_mb, servers.c.disk_gb).where(
        servers.c.host == bindparam("b_host"), servers.c.is_deleted.is_(False)
    ),
    select(migrations.c.claim_vcpus, migrations.c.claim_ram_mb, migrations.c.claim_disk_gb).where(
        migrations.c.claim_host == bindparam("b_host")
    ),
).subquery("taken")
_SUM: Final = select(
    func.coalesce(func.sum(_taken.c.vcpus), 0),
    func.coalesce(func.sum(_taken.c.ram_mb), 0),
    func.coalesce(func.sum(_taken.c.disk_gb), 0),
    func.count(),
)


async def take(connection: AsyncConnection, host: str, flavor: Flavor, ratios: Scheduler) -> bool:
    """Claim room for one server on `host`; False when it has too little now, or is unknown."""
    asked: dict[str, Any] = {
        "b_host": host,
        "b_vcpus": flavor.vcpus,
        "b_ram_mb": flavor.ram_mb,
        "b_disk_gb": flavor.claimed_disk_gb,
        "b_vcpus_ratio": ratios.cpu_allocation_ratio,
        "b_ram_mb_ratio": ratios.ram_allocation_ratio,
        "b_disk_gb_ratio": ratios.disk_allocation_ratio,
    }
    return (await connection.execute(_TAKE, asked)).rowcount == 1


async def give_back(connection: AsyncConnection, host: str, *, vcpus: int, ram_mb: int, disk_gb: int) -> None:
    """Release what one server took on `host`."""
    taken = {"b_host": host, "b_vcpus": vcpus, "b_ram_mb": ram_mb, "b_disk_gb": disk_gb}
    await connection.execute(_GIVE_BACK, taken)


async def recount(connection: AsyncConnection, host: str) -> bool:
    """Set the counters of `host` to what its servers take, and those that move from or to it; True when they were wrong.

    The host's row is locked first: a claim or release that is under way either has changed it, and then this
    waits and sees its server, or will change it afterwards by its own difference.
    """
    before = (await connection.execute(_LOCK, {"b_host": host})).one_or_none()
    vcpus, ram_mb, disk, count = (await connection.execute(_SUM, {"b_host": host})).one()
    used = {"vcpus_used": int(vcpus), "ram_mb_used": int(ram_mb), "disk_gb_used": int(disk), "servers": count}
    if before is None or tuple(before) == tuple(used[name] for name in _USED):
        return False
    await connection.execute(update(hosts).where(hosts.c.name == host).values(**used, changed_at=database_time()))
    return True
