"""The life of two instances as boto 2.27 sees it on CPython 2.7, the clients' age of Icehouse, with both signatures."""

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.conftest import ec2_cloud
from tests.support.ec2_boto27 import boto27
from tests.support.ec2_life import life

EMBEDDED: tuple[str, ...] = ()
PROCESSES = ("--processes", "--bus", "private", "--db", "private")
VERSION_2: dict[str, str] = {}  # what it takes for EC2 when nobody says anything
VERSION_4 = {"EC2_USE_SIGV4": "yes"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("arguments", "signature"),
    [(EMBEDDED, VERSION_2), (PROCESSES, VERSION_4)],
    ids=["embedded-version-2", "processes-rabbitmq-mariadb-version-4"],
)
async def test_two_instances_live_as_boto_2_wants_it(
    arguments: tuple[str, ...], signature: dict[str, str], state_dir: Path, boto27_bin: Path
) -> None:
    async with ec2_cloud(state_dir, *arguments) as printed:
        with boto27(boto27_bin, printed, **signature) as ec2:
            await asyncio.to_thread(life, ec2)
