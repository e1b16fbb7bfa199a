"""What a start makes sure of, the first time and every time."""

import json
import stat
from pathlib import Path

import pytest

from novaflow import config
from novaflow.clock import SystemClock
from novaflow.db.database import Database
from novaflow.db.identity import Identity
from novaflow.db.identity_logins import Wanted, WantedScope
from novaflow.errors import Invalid, Unauthorized
from novaflow.identity.credentials import SERVICE_PASSWORD
from novaflow.identity.passwords import Passwords
from services.identity.authority import Authority
from services.identity.first_start import publish, seed
from tests.support.identity import copied_database

NOVA = Wanted(name="nova", domain_id="default")
ADMIN = Wanted(name="admin", domain_id="default")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SERVICE_PASSWORD, raising=False)


async def start(db: Database, state_dir: Path, **identity: object) -> Authority:
    records, passwords = Identity(db), Passwords(SystemClock(), memory_kib=64, passes=1)
    settings = config.Config(identity=config.Identity(**identity))  # type: ignore[arg-type]
    await seed(settings, db, records, passwords, state_dir)
    await publish(settings, records, settings.identity.port, settings.identity.admin_port)
    return Authority(records, passwords, SystemClock(), 3600)


async def test_the_first_start_makes_up_passwords_that_only_the_owner_can_read(
    migrated_sqlite: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    async with copied_database(migrated_sqlite, tmp_path) as db:
        authority = await start(db, state)

        admin = (state / "admin-password").read_text().strip()
        service = json.loads((state / "service-password").read_text())
        scope = WantedScope(project=Wanted(name="admin", domain_id="default"))
        assert (await authority.log_in(ADMIN, admin, scope)).claims.has_role("admin")
        assert (service["username"], service["project"]) == ("nova", "service")
        scope = WantedScope(project=Wanted(name="service", domain_id="default"))
        assert (await authority.log_in(NOVA, service["password"], scope)).claims.has_role("admin")
        assert len(admin) >= 32
        assert sorted(path.name for path in state.iterdir()) == ["admin-password", "service-password"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()} == {0o600}


async def test_a_configured_password_is_used_and_written_nowhere(migrated_sqlite: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with copied_database(migrated_sqlite, tmp_path) as db:
        authority = await start(db, state, admin_password="configured", admin_user="root", admin_project="top")

        root = Wanted(name="root", domain_id="default")
        scope = WantedScope(project=Wanted(name="top", domain_id="default"))
        assert (await authority.log_in(root, "configured", scope)).claims.has_role("admin")
        assert not (state / "admin-password").exists()


async def test_a_later_start_changes_no_password_of_the_administrator(migrated_sqlite: Path, tmp_path: Path) -> None:
    async with copied_database(migrated_sqlite, tmp_path) as db:
        await start(db, tmp_path / "state", admin_password="first")
        authority = await start(db, tmp_path / "state", admin_password="second")

        await authority.log_in(ADMIN, "first", WantedScope())
        with pytest.raises(Unauthorized):
            await authority.log_in(ADMIN, "second", WantedScope())


async def test_the_services_password_follows_its_file_and_the_environment(
    migrated_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with copied_database(migrated_sqlite, tmp_path) as db:
        await start(db, tmp_path / "lost")
        authority = await start(db, tmp_path / "new")
        kept = json.loads((tmp_path / "new" / "service-password").read_text())["password"]
        await authority.log_in(NOVA, kept, WantedScope())

        monkeypatch.setenv(SERVICE_PASSWORD, "outside")
        authority = await start(db, tmp_path / "other")
        await authority.log_in(NOVA, "outside", WantedScope())
        assert not (tmp_path / "other" / "service-password").exists()


async def test_a_broken_credentials_file_stops_the_start_and_says_which(migrated_sqlite: Path, tmp_path: Path) -> None:
    (tmp_path / "service-password").write_text("nonsense")

    async with copied_database(migrated_sqlite, tmp_path) as db:
        with pytest.raises(Invalid, match="service-password"):
            await start(db, tmp_path)


async def test_every_start_puts_the_current_urls_into_the_catalogue(migrated_sqlite: Path, tmp_path: Path) -> None:
    async with copied_database(migrated_sqlite, tmp_path) as db:
        await start(db, tmp_path)
        before = await Identity(db).endpoints.all()
        authority = await start(db, tmp_path, port=1111, admin_port=2222)

        after = await authority.records.endpoints.all()
        services = {service.id: service.type for service in await authority.records.services.all()}
        urls = {(services[point.service_id], point.interface): point.url for point in after}
        assert {point.id for point in after} == {point.id for point in before}
        assert len(after) == 15
        assert urls["identity", "public"] == urls["identity", "internal"] == "http://127.0.0.1:1111/v3"
        assert urls["identity", "admin"] == "http://127.0.0.1:2222/v3"
        assert urls["compute", "public"] == "http://127.0.0.1:8774/v2.1"
        assert urls["compute_legacy", "public"] == "http://127.0.0.1:8774/v2/$(project_id)s"
        assert urls["image", "public"] == "http://127.0.0.1:9292"


async def test_a_configured_url_is_the_public_one_and_names_the_admin_ports_host(
    migrated_sqlite: Path, tmp_path: Path
) -> None:
    async with copied_database(migrated_sqlite, tmp_path) as db:
        authority = await start(db, tmp_path, url="http://identity:5000")

        services = {service.type: service.id for service in await authority.records.services.all()}
        points = await authority.records.endpoints.all(service_id=services["identity"])
        assert {point.interface: point.url for point in points} == {
            "public": "http://identity:5000/v3",
            "internal": "http://identity:5000/v3",
            "admin": "http://identity:35357/v3",
        }
