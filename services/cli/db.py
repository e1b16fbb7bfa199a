"""The database's schema, and the keys of what is encrypted in it."""

import asyncio
from pathlib import Path

import click

from novaflow.config import Config
from novaflow.db.database import Database
from novaflow.db.migrate import upgrade as migrate
from services import settings
from services.cli.options import state_dir_option
from services.identity.rotation import rotate


@click.group()
def db() -> None:
    """Care for the database's schema and for what is encrypted in it."""


@db.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path, dir_okay=False), help="A novaflow.toml.")
@click.option("--db", "database", help="The database's URL: sqlite:///FILE or mysql://user:password@host/name.")
@click.option("--state-dir", type=click.Path(path_type=Path, file_okay=False), help="Where the SQLite file is.")
def upgrade(config_path: Path | None, **flags: str | None) -> None:
    """Bring the schema up to date. Safe to run at any time, and from several processes at once.

    \b
    Example:
      novaflow db upgrade --db mysql://nova:secret@localhost/nova
    """
    config = settings.with_flags(settings.read(config_path) if config_path else Config(), **flags)  # type: ignore[arg-type]
    asyncio.run(migrate(config.database_url))
    click.echo("the schema is up to date")


@db.command("rotate-keys")
@click.option("--config", "config_path", type=click.Path(path_type=Path, dir_okay=False), help="A novaflow.toml.")
@state_dir_option
def rotate_keys(config_path: Path | None, state_dir: Path | None) -> None:
    """Encrypt the stored EC2 secret keys with a new key, while the cloud runs.

    The last three keys stay in the state directory's credential-keys: whoever has other copies of that file replaces them.

    \b
    Example:
      novaflow db rotate-keys
    """
    config = (
        settings.read(config_path)
        if config_path
        else settings.running_config(state_dir or settings.default_state_dir())
    )
    click.echo(f"{asyncio.run(_rotate(config))} secret keys are encrypted with a new key")


async def _rotate(config: Config) -> int:
    database = await Database.open(config.database_url, config.database)
    try:
        return await rotate(database, Path(config.state_dir))
    finally:
        await database.close()
