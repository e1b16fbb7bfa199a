"""Column types that mean the same on both databases."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from sqlalchemy.dialects import mysql, sqlite

from novaflow.db.ids import row_id
from novaflow.db.schema.metadata import Choice, JsonText, UtcDateTime
from novaflow.states import Power, Vm

NOON = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
DIALECTS = [sqlite.dialect(), mysql.dialect()]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_moment_is_kept_in_utc_and_comes_back_aware(dialect: object) -> None:
    kind = UtcDateTime()
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5)))

    stored = kind.process_bind_param(elsewhere, dialect)  # type: ignore[arg-type]

    assert stored == NOON.replace(tzinfo=None)
    assert kind.process_result_value(stored, dialect) == NOON  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timezone"):
        kind.process_bind_param(NOON.replace(tzinfo=None), dialect)  # type: ignore[arg-type]


def test_json_text_is_of_its_type() -> None:
    kind = JsonText(dict[str, int])
    dialect = DIALECTS[0]

    assert kind.process_result_value(kind.process_bind_param({"a": 1}, dialect), dialect) == {"a": 1}
    assert kind.process_bind_param(None, dialect) is None
    with pytest.raises(msgspec.ValidationError):
        kind.process_result_value('{"a": "x"}', dialect)


def test_a_choice_is_kept_as_its_value_and_nothing_else_is_read() -> None:
    dialect = DIALECTS[0]

    assert Choice(Vm).process_bind_param(Vm.ACTIVE, dialect) == "active"
    assert Choice(Power).process_result_value(4, dialect) is Power.SHUTDOWN
    with pytest.raises(LookupError):
        Choice(Vm).process_result_value("zombie", dialect)


def test_row_ids_sort_as_they_were_made() -> None:
    made = [row_id(NOON + timedelta(microseconds=index // 50)) for index in range(500)]

    assert made == sorted(made)
    assert {len(one) for one in made} == {32}
    assert len(set(made)) == 500
