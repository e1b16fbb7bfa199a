"""What all tables share: one MetaData, names of constraints, and column types that mean the same on SQLite and MariaDB.

Tables are made with `table(...)`, so that on MariaDB every text compares by its bytes, as on SQLite: `Key` and `key` are
two names. What is indexed is at most `NAME` (255 characters) long.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import Any, Final

import msgspec
from sqlalchemy import CHAR, DateTime, MetaData, SmallInteger, String, Table, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeDecorator, TypeEngine

METADATA: Final = MetaData(
    naming_convention={
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# MariaDB's side of every table; migrations pass the same to op.create_table.
TABLE_OPTIONS: Final[dict[str, Any]] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}

Uuid: Final = CHAR(36)  # canonical text, with hyphens
Key: Final = String(64)  # project and user ids, enum values, hashes
Name: Final = String(255)
LongText: Final = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")  # up to 16 MiB


def table(name: str, *items: SchemaItem) -> Table[Any]:
    """A table of the cloud."""
    return Table(name, METADATA, *items, **TABLE_OPTIONS)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC to the microsecond, timezone-aware on both ways; a naive datetime is refused with ValueError."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """MariaDB keeps whole seconds unless told otherwise."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """As naive UTC, which is all that the two databases have in common."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment without a timezone: {value}")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """With its timezone again."""
        return None if value is None else value.replace(tzinfo=UTC)


class JsonText(TypeDecorator[Any]):
    """A value of any msgspec type as JSON text.

    `kept` decoded values are remembered by their text, for immutable values that many rows share (a
    flavor): reading a thousand servers decodes their flavor once. None is SQL's NULL.
    """

    impl = Text
    cache_ok = True

    def __init__(self, value_type: Any, *, kept: int = 0) -> None:
        super().__init__()
        self.value_type = value_type
        self.kept = kept
        decode: Callable[[str], Any] = msgspec.json.Decoder(value_type).decode
        self._decode = lru_cache(maxsize=kept)(decode) if kept else decode

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """MariaDB's TEXT ends at 64 KiB, which a server's metadata may exceed."""
        return dialect.type_descriptor(
            mysql.MEDIUMTEXT() if dialect.name in ("mysql", "mariadb") else Text(),
        )

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The JSON text."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """The value; msgspec.ValidationError when the text is not of the column's type."""
        return None if value is None else self._decode(value)


class Choice(TypeDecorator[Any]):
    """A member of an enum as its value; LookupError when the database holds a value the enum does not know."""

    impl = String
    cache_ok = True

    def __init__(self, members: type[StrEnum] | type[IntEnum]) -> None:
        super().__init__(32)
        self.members = members
        self._by_value: dict[str | int, StrEnum | IntEnum] = {member.value: member for member in members}

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text or a small number, as the enum's values are."""
        return dialect.type_descriptor(SmallInteger() if issubclass(self.members, IntEnum) else String(32))

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | int | None:  # noqa: ARG002
        """The plain value: drivers do not know enums."""
        return None if value is None else value.value

    def process_result_value(self, value: str | int | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """The member."""
        return None if value is None else self._by_value[value]
