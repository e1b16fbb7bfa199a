"""The unmodified `keystone` client of Icehouse makes and deletes EC2 key pairs, and boto 2.27 signs with them. On the fake driver."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import pytest

from services.detached import detached
from tests.acceptance.conftest import printed_environment
from tests.support.clients import CommandFailed
from tests.support.ec2_boto27 import Boto27, boto27
from tests.support.ec2_clients import Refused
from tests.support.keystone27 import Keystone

Pair = dict[str, str]
Signs = Callable[[Pair], AbstractContextManager[Boto27]]
PASSWORD: Final = "a-password-of-hers"


@pytest.mark.timeout(300)
async def test_users_keep_ec2_keys_through_the_keystone_client_of_icehouse(
    state_dir: Path, keystone27_bin: Path, boto27_bin: Path
) -> None:
    async with detached(["--virt", "fake", "--port-base", "0"], state_dir):
        keystone = Keystone(keystone27_bin, await asyncio.to_thread(printed_environment, state_dir, "--v2"))
        url = (await keystone.facts("endpoint-get", "--service", "ec2"))["ec2.publicURL"]

        def signs(pair: Pair) -> AbstractContextManager[Boto27]:
            keys = {"EC2_ACCESS_KEY": pair["access"], "EC2_SECRET_KEY": pair["secret"]}
            return boto27(boto27_bin, {"EC2_URL": url, **keys})

        await an_admin_makes_a_pair_signs_with_it_and_deletes_it(keystone, signs)
        await an_admin_makes_one_for_somebody_else_who_deletes_it(keystone, signs)


async def an_admin_makes_a_pair_signs_with_it_and_deletes_it(keystone: Keystone, signs: Signs) -> None:
    me = await keystone.facts("token-get")

    made = await keystone.facts("ec2-credentials-create")

    assert {name: made[name] for name in ("tenant_id", "user_id")} == {
        name: me[name] for name in ("tenant_id", "user_id")
    }
    shown = {"tenant": "admin", "access": made["access"], "secret": made["secret"]}
    assert await keystone.rows("ec2-credentials-list") == [shown]
    assert await keystone.facts("ec2-credentials-get", "--access", made["access"]) == made
    with signs(made) as ec2:
        await signs_until_it_is_deleted(ec2, keystone, made)
    with pytest.raises(CommandFailed, match=f"Could not find credential: {made['access']}"):
        await keystone.text("ec2-credentials-get", "--access", made["access"])


async def an_admin_makes_one_for_somebody_else_who_deletes_it(keystone: Keystone, signs: Signs) -> None:
    lab = await keystone.facts("tenant-create", "--name", "lab")
    her = await keystone.facts("user-create", "--name", "ada", "--pass", PASSWORD, "--tenant", "lab")
    ada = keystone.of("ada", PASSWORD, "lab")
    own = await keystone.facts("ec2-credentials-create")

    made = await keystone.facts("ec2-credentials-create", "--user-id", her["id"], "--tenant-id", lab["id"])

    # The client names tenants to administrators only: the others it shows their ids
    shown = {"tenant": lab["id"], "access": made["access"], "secret": made["secret"]}
    assert await ada.rows("ec2-credentials-list") == [shown]
    with pytest.raises(CommandFailed, match="identity:ec2_list_credentials"):
        await ada.text("ec2-credentials-list", "--user-id", own["user_id"])
    with signs(made) as ec2:
        await signs_until_it_is_deleted(ec2, ada, made)
    assert [row["access"] for row in await keystone.rows("ec2-credentials-list")] == [own["access"]]


async def signs_until_it_is_deleted(ec2: Boto27, owner: Keystone, pair: Pair) -> None:
    """With one connection of a client that has signed all along, and that sees the owner's keys and nobody else's."""
    ssh = await asyncio.to_thread(ec2.create_key, "morning")
    assert await asyncio.to_thread(ec2.keys) == {"morning": ssh["fingerprint"]}

    said = await owner.text("ec2-credentials-delete", "--access", pair["access"])

    assert said == "Credential has been deleted.\n"
    assert await owner.rows("ec2-credentials-list") == []
    with pytest.raises(Refused, match=r"AuthFailure \(401\)"):
        await asyncio.to_thread(ec2.keys)
    again = await owner.text("ec2-credentials-delete", "--access", pair["access"])
    assert again.startswith(f"Unable to delete credential: Could not find credential: {pair['access']}")
