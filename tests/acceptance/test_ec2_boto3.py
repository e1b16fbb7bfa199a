"""The life of two instances as boto3 sees it, with real guests, on both ways to run a cloud."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.conftest import ec2_cloud
from tests.support.ec2_boto3 import Boto3
from tests.support.ec2_life import life

EMBEDDED: tuple[str, ...] = ()
PROCESSES = ("--processes", "--bus", "private", "--db", "private")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("arguments", [EMBEDDED, PROCESSES], ids=["embedded", "processes-rabbitmq-mariadb"])
async def test_two_instances_live_as_boto3_wants_it(arguments: tuple[str, ...], state_dir: Path) -> None:
    async with ec2_cloud(state_dir, *arguments) as printed:
        with closing(Boto3(printed)) as ec2:
            await asyncio.to_thread(life, ec2)
