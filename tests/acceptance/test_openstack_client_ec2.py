"""The unmodified `openstack` client makes and deletes EC2 key pairs, and what is signed with them gets a token. On the fake driver."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from services.detached import admin, logged_in
from services.settings import running_config
from tests.acceptance.conftest import client_of, printed_environment
from tests.support.clients import CommandFailed, OpenStackClient
from tests.support.ec2 import Shape, as_json, signed_v4


@pytest.mark.timeout(600)
async def test_a_user_keeps_ec2_keys_through_the_openstack_client(state_dir: Path, openstack_bin: Path) -> None:
    async with client_of(state_dir, openstack_bin, "--virt", "fake") as openstack:
        pair = await makes_a_pair(openstack)
        assert await status_of_a_signed_request(state_dir, pair["access"], pair["secret"]) == 200
        await deletes_it(openstack, pair["access"])
        assert await status_of_a_signed_request(state_dir, pair["access"], pair["secret"]) == 404
        await gets_one_from_the_environment(openstack, state_dir)


async def makes_a_pair(openstack: OpenStackClient) -> dict[str, str]:
    made = await openstack.json("ec2", "credentials", "create")

    listed = await openstack.json("ec2", "credentials", "list")
    shown = await openstack.json("ec2", "credentials", "show", made["access"])

    assert [(row["Access"], row["Secret"]) for row in listed] == [(made["access"], made["secret"])]
    assert {name: shown[name] for name in ("access", "secret", "project_id", "user_id")} == {
        name: made[name] for name in ("access", "secret", "project_id", "user_id")
    }
    pair: dict[str, str] = made
    return pair


async def deletes_it(openstack: OpenStackClient, access: str) -> None:
    await openstack.text("ec2", "credentials", "delete", access)

    assert await openstack.json("ec2", "credentials", "list") == []
    with pytest.raises(CommandFailed, match=f"Could not find credential: {access}"):
        await openstack.text("ec2", "credentials", "show", access)


async def gets_one_from_the_environment(openstack: OpenStackClient, state_dir: Path) -> None:
    first = await asyncio.to_thread(printed_environment, state_dir, "--ec2")
    second = await asyncio.to_thread(printed_environment, state_dir, "--ec2")

    assert first == second
    [row] = await openstack.json("ec2", "credentials", "list")
    assert (first["EC2_ACCESS_KEY"], first["EC2_SECRET_KEY"]) == (row["Access"], row["Secret"])
    assert await status_of_a_signed_request(state_dir, row["Access"], row["Secret"]) == 200


async def status_of_a_signed_request(state_dir: Path, access: str, secret: str) -> int:
    """What the identity service says of a request signed now, to an administrator who asks."""
    credentials = admin(running_config(state_dir))
    signed = signed_v4(Shape(), datetime.now(UTC), access=access, secret=secret)
    async with logged_in(credentials) as cloud, aiohttp.ClientSession() as http:
        token, _facts = await cloud.issue_token()
        url = f"{credentials.auth_url}/ec2tokens"
        async with http.post(url, json=as_json(signed), headers={"X-Auth-Token": token}) as answer:
            return answer.status
