"""What this machine can do."""

import asyncio
import sys
from collections.abc import Callable

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from novaflow.virt.doctor import Fact, facts
from services.private import libvirtd, mariadb, rabbitmq
from services.private.libvirtd import LibvirtdFailed
from services.private.mariadb import DatabaseFailed
from services.private.rabbitmq import BrokerFailed
from services.seed import cache_dir


@click.command()
def doctor() -> None:
    """Say what this machine can do (KVM, libvirt, broker, database) and what to install for the rest.

    \b
    Example:
      novaflow doctor
    """
    found = [*asyncio.run(facts(cache_dir())), *_servers()]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "what", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for fact in found:
        mark = Text("ok", style="green") if fact.is_ok else Text("no", style="red")
        table.add_row(mark, fact.name, Text(fact.detail), Text(fact.fix))
    Console(width=None if sys.stdout.isatty() else 150).print(table)


def _servers() -> list[Fact]:
    return [
        _private_libvirtd(),
        _installed("RabbitMQ", lambda: str(rabbitmq.programs()), "rabbitmq-server"),
        _installed("MariaDB", lambda: mariadb.program("mariadbd"), "mariadb-server"),
    ]


def _private_libvirtd() -> Fact:
    """For live migration on one machine (`novaflow up --virt private`)."""
    try:
        detail = libvirtd.program()
        libvirtd.as_somebody()
    except LibvirtdFailed as error:
        return Fact(
            name="private libvirtd", is_ok=False, detail=str(error), fix="only for `novaflow up --virt private`"
        )
    return Fact(name="private libvirtd", is_ok=True, detail=detail)


def _installed(name: str, find: Callable[[], str], package: str) -> Fact:
    try:
        return Fact(name=name, is_ok=True, detail=find())
    except (BrokerFailed, DatabaseFailed):
        return Fact(name=name, is_ok=False, detail="not installed", fix=f"apt-get install {package}")
