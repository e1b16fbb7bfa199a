"""The tables as revision 0001 made them: a copy that later changes of the schema do not touch.

A new database does not begin here: it gets the newest schema at once (novaflow.db.migrate), and only the flavors of this.
"""

import sqlalchemy as sa

from novaflow.db.migrations.initial import compute, hosts, identity, images
from novaflow.db.migrations.making import make, no_tables

REVISION = "0001"

# nova/db/sqlalchemy/migrate_repo/versions/216_havana.py: name, flavorid, vcpus, memory_mb, root_gb
_FLAVORS = (
    ("m1.tiny", "1", 1, 512, 1),
    ("m1.small", "2", 1, 2048, 20),
    ("m1.medium", "3", 2, 4096, 40),
    ("m1.large", "4", 4, 8192, 80),
    ("m1.xlarge", "5", 8, 16384, 160),
)


def create(connection: sa.Connection) -> None:
    """Make the tables, and Icehouse's default flavors."""
    make(connection, _tables())
    fill(connection)


def fill(connection: sa.Connection) -> None:
    """Icehouse's default flavors, where there are none yet; into the table as this revision or any later one has it."""
    flavors = _tables().tables["flavors"]
    if connection.scalar(sa.select(sa.func.count()).select_from(flavors)) == 0:
        connection.execute(sa.insert(flavors), _default_flavors())


def drop(connection: sa.Connection) -> None:
    """Remove the tables and all that is in them."""
    _tables().drop_all(connection)


def _tables() -> sa.MetaData:
    tables = no_tables()
    for part in (compute, hosts, identity, images):
        part.declare(tables)
    return tables


def _default_flavors() -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "id": flavor_id,
            "vcpus": vcpus,
            "ram_mb": ram_mb,
            "disk_gb": disk_gb,
            "ephemeral_gb": 0,
            "swap_mb": 0,
            "rxtx_factor": 1.0,
            "is_public": True,
            "is_disabled": False,
            "extra_specs": "{}",
        }
        for name, flavor_id, vcpus, ram_mb, disk_gb in _FLAVORS
    ]
