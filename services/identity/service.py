"""The identity service as a process runs it: two ports, both versions of the API on each."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from novaflow.clock import Clock
from novaflow.config import Config
from novaflow.db.database import Database
from novaflow.db.identity import Identity
from novaflow.identity.passwords import Passwords
from novaflow.identity.sealing import Sealing
from rpc.tracing import Tracer
from services.identity.app import build
from services.identity.authority import Authority, purge
from services.identity.ec2_keys import Ec2Keys
from services.identity.first_start import publish, seed
from services.identity.secrets import sealing_keys
from services.runtime import Runtime
from services.web import serving

_PURGE_INTERVAL: Final = 60.0  # seconds between two looks for expired tokens


@dataclass(frozen=True)
class Served:
    """An identity service that answers, and where."""

    authority: Authority
    port: int
    admin_port: int


@asynccontextmanager
async def identity(runtime: Runtime) -> AsyncIterator[None]:
    """Serve identity in this process."""
    db, clock, tracer = await runtime.database(), runtime.clock, runtime.tracer("identity")
    async with served(runtime.config, db, clock, tracer, runtime.state_dir, Passwords(clock)) as service:
        purging = runtime.spawn(purge(service.authority, runtime.clock, _PURGE_INTERVAL), "purge tokens")
        try:
            yield
        finally:
            purging.cancel()


@asynccontextmanager
async def served(
    config: Config, db: Database, clock: Clock, tracer: Tracer, state_dir: Path, passwords: Passwords
) -> AsyncIterator[Served]:
    """An identity service on the configured ports (0: free ones), ready when this is entered; closes `passwords`."""
    records = Identity(db)
    authority = Authority(records, passwords, clock, config.identity.token_seconds)
    try:
        await seed(config, db, records, passwords, state_dir)
        ec2_keys = Ec2Keys(authority, Sealing(lambda: sealing_keys(state_dir)), clock)
        public = build(authority, ec2_keys, tracer, is_admin_port=False)
        admin = build(authority, ec2_keys, tracer, is_admin_port=True)
        host = config.identity.host
        async with (
            serving(public, host, config.identity.port) as port,
            serving(admin, host, config.identity.admin_port) as admin_port,
        ):
            await publish(config, records, port, admin_port)
            yield Served(authority, port, admin_port)
    finally:
        passwords.close()
