"""SSH keys over HTTP, as clients of Nova see them."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from novaflow.config import Config
from novaflow.quotas import QuotaLimits
from novaflow.ssh_keys import fingerprint
from tests.support.compute_api import ComputeApi, Reply, compute_api

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN/skqxp/9QQtPmwtAPo4la6LsQrO6Iw+jhjhFIkoF5S demo@example"
FINGERPRINT = "d5:94:cc:77:c1:c5:69:80:d9:9d:6a:0c:11:70:c4:52"
LIMIT = 8


@pytest.fixture
async def api(tmp_path: Path) -> Any:
    config = msgspec.structs.replace(Config(), quota=QuotaLimits(key_pairs=LIMIT))
    async with compute_api(tmp_path, config) as running:
        yield running


async def bring(api: ComputeApi, name: str = "mine", *, who: str = "alice", **fields: object) -> Reply:
    body = {"keypair": {"name": name, "public_key": PUBLIC, **fields}}
    return await api.ask("POST", "/os-keypairs", body, who=who, version="2.10")


async def names(api: ComputeApi, query: str = "", who: str = "alice", version: str = "2.37") -> list[str]:
    found = await api.get(f"/os-keypairs{query}", who=who, version=version)
    return [entry["keypair"]["name"] for entry in found["keypairs"]]


async def test_a_key_that_is_brought_along_is_kept(api: ComputeApi) -> None:
    made = await bring(api)

    facts = {"name": "mine", "public_key": PUBLIC, "fingerprint": FINGERPRINT, "type": "ssh"}
    assert (made.status, made.body) == (201, {"keypair": {**facts, "user_id": "alice-id"}})
    assert await api.get("/os-keypairs", who="alice", version="2.2") == {"keypairs": [{"keypair": facts}]}


async def test_a_key_is_shown_with_all_that_nova_shows(api: ComputeApi) -> None:
    await bring(api)

    shown = (await api.get("/os-keypairs/mine", who="alice", version="2.2"))["keypair"]

    created_at, number = shown.pop("created_at"), shown.pop("id")
    assert shown == {
        "name": "mine",
        "public_key": PUBLIC,
        "fingerprint": FINGERPRINT,
        "type": "ssh",
        "user_id": "alice-id",
        "updated_at": None,
        "deleted": False,
        "deleted_at": None,
    }
    assert len(created_at) == len("2026-08-01T12:00:00.000000")
    assert isinstance(number, int)


async def test_a_key_that_is_made_here_is_told_once(api: ComputeApi) -> None:
    made = (await api.ask("POST", "/os-keypairs", {"keypair": {"name": "new"}}, who="alice")).body["keypair"]
    shown = (await api.get("/os-keypairs/new", who="alice"))["keypair"]

    assert made["private_key"].startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert made["public_key"].startswith("ssh-rsa ")
    assert made["public_key"].endswith(" Generated-by-Nova")
    assert made["fingerprint"] == fingerprint(made["public_key"], "ssh")
    assert shown["public_key"] == made["public_key"]
    assert "private_key" not in shown


async def test_a_certificate_is_made_for_windows(api: ComputeApi) -> None:
    body = {"keypair": {"name": "win", "type": "x509"}}

    made = (await api.ask("POST", "/os-keypairs", body, who="alice", version="2.2")).body["keypair"]

    assert made["type"] == "x509"
    assert made["public_key"].startswith("-----BEGIN CERTIFICATE-----")
    assert len(made["fingerprint"].split(":")) == 20


@pytest.mark.parametrize(
    ("version", "created", "deleted", "has_type"), [("2.1", 200, 202, False), ("2.2", 201, 204, True)]
)
async def test_statuses_and_types_are_those_of_the_microversion(
    api: ComputeApi, version: str, created: int, deleted: int, has_type: bool
) -> None:
    body = {"keypair": {"name": "mine", "public_key": PUBLIC}}

    first = await api.ask("POST", "/os-keypairs", body, who="alice", version=version)
    shown = await api.get("/os-keypairs/mine", who="alice", version=version)
    gone = await api.ask("DELETE", "/os-keypairs/mine", who="alice", version=version)

    assert first.status == created
    assert ("type" in first.body["keypair"]) is ("type" in shown["keypair"]) is has_type
    assert (gone.status, gone.body) == (deleted, None)


async def test_a_type_is_unknown_before_there_were_any(api: ComputeApi) -> None:
    body = {"keypair": {"name": "mine", "public_key": PUBLIC, "type": "ssh"}}

    reply = await api.ask("POST", "/os-keypairs", body, who="alice", version="2.1")

    assert reply.status == 400
    assert "'type' was unexpected" in reply.message


async def test_a_name_is_taken_once_per_user(api: ComputeApi) -> None:
    await bring(api)

    again = await bring(api)
    made = await api.ask("POST", "/os-keypairs", {"keypair": {"name": "mine"}}, who="alice")
    of_another = await bring(api, who="bob")

    assert (again.status, again.message) == (409, "Key pair 'mine' already exists.")
    assert (made.status, made.message) == (409, "Key pair 'mine' already exists.")
    assert of_another.status == 201


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_one_that_is_not_there_is_named(api: ComputeApi, method: str) -> None:
    await bring(api, "hers", who="bob")

    for name in ("nope", "hers"):
        reply = await api.ask(method, f"/os-keypairs/{name}", who="alice")
        assert (reply.status, reply.message) == (404, f"Keypair {name} not found for user alice-id")


@pytest.mark.parametrize("name", ["", " mine", "mine ", "a/b", "ключ", "a@b", "x" * 256, 7, None])
async def test_a_bad_name_is_refused(api: ComputeApi, name: object) -> None:
    reply = await api.ask("POST", "/os-keypairs", {"keypair": {"name": name, "public_key": PUBLIC}})

    assert reply.status == 400
    assert "name" in reply.message


async def test_a_name_may_have_spaces_inside(api: ComputeApi) -> None:
    assert (await bring(api, "my old_key-1")).status == 201
    assert (await api.get("/os-keypairs/my%20old_key-1", who="alice"))["keypair"]["name"] == "my old_key-1"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"public_key": "nonsense"}, "Keypair data is invalid: failed to generate fingerprint"),
        ({"public_key": ""}, "Keypair data is invalid: failed to generate fingerprint"),
        ({"public_key": PUBLIC, "type": "x509"}, "Keypair data is invalid: failed to generate X509 fingerprint"),
        ({"type": "pgp"}, "Invalid input for field/attribute type. Value: pgp."),
        ({"public_key": 5}, "Invalid input for field/attribute public_key. Value: 5."),
        ({"public_key": PUBLIC, "user_id": "x" * 65}, "Invalid input for field/attribute user_id."),
        ({"colour": "red"}, "Invalid input for field/attribute keypair."),
    ],
)
async def test_a_bad_key_is_refused(api: ComputeApi, fields: dict[str, object], said: str) -> None:
    body = {"keypair": {"name": "mine", **fields}}

    reply = await api.ask("POST", "/os-keypairs", body, who="alice", version="2.10")

    assert reply.status == 400
    assert reply.message.startswith(said)
    assert await names(api) == []


class TestOtherUsers:
    """Since 2.10, administrators work on the keys of others; before, the parameter says nothing."""

    async def test_administrators_do_all_of_it(self, api: ComputeApi) -> None:
        made = await bring(api, who="admin", user_id="alice-id")
        gone = await api.ask("DELETE", "/os-keypairs/mine?user_id=alice-id", version="2.10")

        assert made.body["keypair"]["user_id"] == "alice-id"
        assert gone.status == 204
        assert await names(api) == []

    async def test_administrators_see_them(self, api: ComputeApi) -> None:
        await bring(api)

        assert await names(api, "?user_id=alice-id", who="admin") == ["mine"]
        assert await names(api, who="admin") == []
        shown = await api.get("/os-keypairs/mine?user_id=alice-id", version="2.10")
        assert shown["keypair"]["user_id"] == "alice-id"

    async def test_before_2_10_the_parameter_says_nothing(self, api: ComputeApi) -> None:
        await bring(api)

        assert await names(api, "?user_id=alice-id", who="admin", version="2.9") == []

    @pytest.mark.parametrize(
        ("method", "path", "rule"),
        [
            ("GET", "/os-keypairs?user_id=bob-id", "index"),
            ("GET", "/os-keypairs/hers?user_id=bob-id", "show"),
            ("DELETE", "/os-keypairs/hers?user_id=bob-id", "delete"),
        ],
    )
    async def test_others_do_not(self, api: ComputeApi, method: str, path: str, rule: str) -> None:
        await bring(api, "hers", who="bob")

        reply = await api.ask(method, path, who="alice", version="2.10")

        said = f"Policy doesn't allow os_compute_api:os-keypairs:{rule} to be performed."
        assert (reply.status, reply.message) == (403, said)

    async def test_nobody_makes_keys_for_others_but_administrators(self, api: ComputeApi) -> None:
        assert (await bring(api, user_id="bob-id")).status == 403


class TestPages:
    async def test_they_are_linked_since_2_35(self, api: ComputeApi) -> None:
        for name in ("c", "a", "b"):
            await bring(api, name)

        first = await api.get("/os-keypairs?limit=2", who="alice", version="2.35")
        (link,) = first["keypairs_links"]
        second = await api.get(link["href"].partition("/v2.1")[2], who="alice", version="2.35")

        pages = [[entry["keypair"]["name"] for entry in page["keypairs"]] for page in (first, second)]
        assert pages == [["a", "b"], ["c"]]
        assert "keypairs_links" not in second

    async def test_before_2_35_there_is_one_page(self, api: ComputeApi) -> None:
        for name in ("a", "b"):
            await bring(api, name)

        assert await names(api, "?limit=1", version="2.34") == ["a", "b"]

    async def test_an_unknown_marker_is_refused(self, api: ComputeApi) -> None:
        reply = await api.ask("GET", "/os-keypairs?marker=nope", who="alice", version="2.35")

        assert reply.status == 400
        assert "nope" in reply.message


class TestQuota:
    async def test_of_many_at_once_exactly_as_many_as_fit_are_taken(self, api: ComputeApi) -> None:
        replies = await asyncio.gather(*(bring(api, f"key-{number}") for number in range(3 * LIMIT)))

        refused = [reply for reply in replies if reply.status != 201]
        assert len(await names(api)) == LIMIT
        assert len(refused) == 2 * LIMIT
        assert {(reply.status, reply.message) for reply in refused} == {(403, "Quota exceeded, too many key pairs.")}

    async def test_what_is_deleted_makes_room(self, api: ComputeApi) -> None:
        for number in range(LIMIT):
            await bring(api, f"key-{number}")
        await api.ask("DELETE", "/os-keypairs/key-0", who="alice")

        assert (await bring(api, "another")).status == 201
        assert (await bring(api, "too many")).status == 403
        made = await api.ask("POST", "/os-keypairs", {"keypair": {"name": "too many"}}, who="alice")
        assert (made.status, made.message) == (403, "Quota exceeded, too many key pairs.")

    async def test_every_user_has_their_own(self, api: ComputeApi) -> None:
        for number in range(LIMIT):
            await bring(api, f"key-{number}")

        assert (await bring(api, who="bob")).status == 201
