"""Database URLs."""

import pytest

from novaflow.db.engines import parse
from novaflow.errors import Invalid


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:////tmp/x", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:////tmp/x", "sqlite+aiosqlite"),
        ("mysql://u:p@h/d", "mysql+asyncmy"),
        ("mysql+asyncmy://u:p@h/d", "mysql+asyncmy"),
        ("mariadb://u:p@h/d", "mysql+asyncmy"),
    ],
)
def test_both_databases_are_opened_by_their_drivers(url: str, driver: str) -> None:
    assert parse(url).drivername == driver


@pytest.mark.parametrize(
    "url", ["", "nonsense", "postgresql://u:hush@h/d", "mysql+pymysql://u:hush@h/d", "sqlite://", "sqlite:///:memory:"]
)
def test_any_other_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(Invalid, match=r"database\.url") as refused:
        parse(url)

    assert "hush" not in str(refused.value)
