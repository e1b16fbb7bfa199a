"""What every start makes sure of: the first users and roles, and a catalogue that says where the services are now.

Two processes may start at once on one database and one state directory: one of them makes each thing, both go on.
"""

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from novaflow.config import Config
from novaflow.db.database import Database
from novaflow.db.identity import Identity
from novaflow.db.identity_bootstrap import Account, Bootstrap
from novaflow.identity.credentials import SERVICE_USER, from_environment
from novaflow.identity.models import Endpoint, Service
from novaflow.identity.passwords import Passwords
from services.identity.secrets import admin_password, service_credentials


async def seed(config: Config, db: Database, records: Identity, passwords: Passwords, state_dir: Path) -> None:
    """Have the default domain, the roles, the administrator and the services' user."""
    bootstrap = Bootstrap(db, records)
    await bootstrap.base()
    await _seed_admin(config, bootstrap, passwords, state_dir)
    await _seed_service(config, bootstrap, records, passwords, state_dir)


async def _seed_admin(config: Config, bootstrap: Bootstrap, passwords: Passwords, state_dir: Path) -> None:
    identity = config.identity
    if await bootstrap.find(identity.admin_user) is not None:
        return
    account = Account(
        user=identity.admin_user,
        project=identity.admin_project,
        description="Bootstrap project for initializing the cloud.",
        on_system=True,
    )
    password = identity.admin_password or admin_password(state_dir)
    await bootstrap.account(account, await passwords.hash(password))


async def _seed_service(
    config: Config, bootstrap: Bootstrap, records: Identity, passwords: Passwords, state_dir: Path
) -> None:
    """The services' password is what the environment or the file says; the stored one follows it."""
    project = config.identity.service_project
    password = (from_environment(project) or service_credentials(state_dir, project)).password
    stored = await bootstrap.find(SERVICE_USER)
    if stored is not None and await passwords.matches(password, stored.password_hash):
        return
    password_hash = await passwords.hash(password)
    account = Account(user=SERVICE_USER, project=project, description="Project of the services.")
    seeded = await bootstrap.account(account, password_hash)
    if not seeded.is_new and not await passwords.matches(password, seeded.password_hash):
        await records.users.update(seeded.user_id, {"password_hash": password_hash})


async def publish(config: Config, records: Identity, port: int, admin_port: int) -> None:
    """Have the catalogue say where the services listen now."""
    await records.endpoints.publish(config.identity.region, _catalogue(config, port, admin_port))


def _catalogue(config: Config, port: int, admin_port: int) -> Iterable[tuple[Service, list[Endpoint]]]:
    public = config.identity.url or f"http://{config.identity.host}:{port}"
    admin = f"{urlsplit(public).scheme}://{urlsplit(public).hostname}:{admin_port}"
    identity = {"public": f"{public}/v3", "internal": f"{public}/v3", "admin": f"{admin}/v3"}
    yield _entry(config, "identity", "keystone", identity)
    for kind, name, url in (
        ("image", "glance", config.image_url),
        ("compute", "nova", f"{config.api_url}/v2.1"),
        ("compute_legacy", "nova_legacy", f"{config.api_url}/v2/$(project_id)s"),
        ("ec2", "ec2", config.ec2_url),
    ):
        yield _entry(config, kind, name, dict.fromkeys(identity, url))


def _entry(config: Config, kind: str, name: str, urls: dict[str, str]) -> tuple[Service, list[Endpoint]]:
    service = Service(id=uuid.uuid4().hex, type=kind, name=name, description=_DESCRIPTIONS[kind])
    region = config.identity.region
    return service, [
        Endpoint(id=uuid.uuid4().hex, service_id=service.id, interface=interface, url=url, region_id=region)
        for interface, url in urls.items()
    ]


_DESCRIPTIONS: Final = {
    "identity": "Identity Service",
    "image": "Image Service",
    "compute": "Compute Service",
    "compute_legacy": "Compute Service (Legacy 2.0)",
    "ec2": "EC2 Compatibility Layer",
}
