"""The database's schema."""

import asyncio
from pathlib import Path

import click

from novaflow.config import Config
from novaflow.db.migrate import upgrade as migrate
from services import settings


@click.group()
def db() -> None:
    """Care for the database's schema."""


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
