"""Tables of a revision, made so that a run which was interrupted can be run again."""

import sqlalchemy as sa

from novaflow.db.schema.metadata import METADATA


def no_tables() -> sa.MetaData:
    """Where a revision declares its copies of the tables; constraints are named as everywhere."""
    return sa.MetaData(naming_convention=METADATA.naming_convention)


def make(connection: sa.Connection, tables: sa.MetaData) -> None:
    """Make the tables with their indexes.

    MariaDB does not roll back DDL: what an interrupted run has made is found and completed by the next one.
    """
    there = set(sa.inspect(connection).get_table_names())
    for table in tables.sorted_tables:
        if table.name not in there:
            table.create(connection, checkfirst=False)
        else:
            for index in table.indexes:
                index.create(connection, checkfirst=True)
