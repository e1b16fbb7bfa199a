"""What is the same for every url: versions, refusals, bodies."""

import logging
from http import HTTPStatus

import aiohttp
import msgspec
import pytest
from aiohttp import web

from rpc.errors import CallTimeout
from rpc.tracing import Discard, Tracer
from services.api.openstack.faults import UNEXPECTED, faults
from services.api.openstack.microversion import MAX
from services.web import serving, traced
from tests.support.compute_api import OTHER_PROJECT, PROJECT, ComputeApi

JSON = {"Content-Type": "application/json", "X-Auth-Token": "alice"}
MAX_TEXT = f"{MAX[0]}.{MAX[1]}"


async def post(api: ComputeApi, path: str, data: bytes, **headers: str) -> tuple[int, dict[str, dict[str, object]]]:
    async with api.http.post(f"{api.root}{path}", data=data, headers=JSON | headers) as response:
        return response.status, msgspec.json.decode(await response.read())


async def test_the_versions_are_told_to_anybody(api: ComputeApi) -> None:
    async with api.http.get(f"{api.root}/") as response:
        found = await response.json()

    assert response.status == HTTPStatus.OK
    assert found == {
        "versions": [
            {
                "id": "v2.0",
                "status": "SUPPORTED",
                "version": "",
                "min_version": "",
                "updated": "2011-01-21T11:33:21Z",
                "links": [{"rel": "self", "href": f"{api.root}/v2/"}],
            },
            {
                "id": "v2.1",
                "status": "CURRENT",
                "version": MAX_TEXT,
                "min_version": "2.1",
                "updated": "2013-07-23T11:33:21Z",
                "links": [{"rel": "self", "href": f"{api.root}/v2.1/"}],
            },
        ]
    }


@pytest.mark.parametrize(("path", "version"), [("v2.1", "v2.1"), ("v2.1/", "v2.1"), ("v2", "v2.0"), ("v2/", "v2.0")])
async def test_one_version_is_told_to_anybody(api: ComputeApi, path: str, version: str) -> None:
    async with api.http.get(f"{api.root}/{path}") as response:
        found = (await response.json())["version"]

    assert found["id"] == version
    assert found["links"] == [
        {"rel": "self", "href": f"{api.root}/{path.rstrip('/')}/"},
        {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"},
    ]
    assert found["media-types"][0]["base"] == "application/json"


async def test_a_url_of_no_version_is_answered_with_the_choices(api: ComputeApi) -> None:
    async with api.http.get(f"{api.root}/v3/servers") as response:
        found = await response.json()

    assert response.status == HTTPStatus.MULTIPLE_CHOICES
    assert [choice["links"][0]["href"] for choice in found["choices"]] == [
        f"{api.root}/v2/v3/servers",
        f"{api.root}/v2.1/v3/servers",
    ]


@pytest.mark.parametrize("path", ["/servers", "/nonsense", f"/{PROJECT}/servers"])
@pytest.mark.parametrize("below", ["/v2.1", "/v2"])
async def test_everything_else_needs_a_token(api: ComputeApi, path: str, below: str) -> None:
    async with api.http.get(f"{api.root}{below}{path}") as response:
        assert response.status == HTTPStatus.UNAUTHORIZED
        assert response.headers["WWW-Authenticate"].startswith("Keystone uri=")


@pytest.mark.parametrize("below", ["/v2.1", "/v2", f"/v2.1/{PROJECT}", f"/v2/{PROJECT}"])
async def test_the_same_answers_under_every_form_of_the_url(api: ComputeApi, below: str) -> None:
    assert await api.get("/servers", who="alice", below=below) == {"servers": []}
    flavor = (await api.get("/flavors/1", who="alice", below=below))["flavor"]
    assert flavor["links"][0]["href"] == f"{api.root}{below}/flavors/1"
    assert flavor["links"][1]["href"] == f"{api.root}{below.replace('/v2.1', '').replace('/v2', '')}/flavors/1"


async def test_the_project_of_the_url_is_that_of_the_token(api: ComputeApi) -> None:
    reply = await api.ask("GET", f"/{OTHER_PROJECT}/servers", who="alice")

    assert (reply.status, reply.message) == (
        HTTPStatus.BAD_REQUEST,
        f"Malformed request URL: URL's project_id '{OTHER_PROJECT}' doesn't match Context's project_id '{PROJECT}'",
    )


async def test_the_answer_and_the_refusal_say_which_version_spoke(api: ComputeApi) -> None:
    for path in ("/servers", "/servers/none", "/nonsense"):
        reply = await api.ask("GET", path, version="2.9")
        assert reply.headers["OpenStack-API-Version"] == "compute 2.9"
        assert reply.headers["X-OpenStack-Nova-API-Version"] == "2.9"
        assert reply.headers["Vary"] == "OpenStack-API-Version, X-OpenStack-Nova-API-Version"

    latest = await api.ask("GET", "/servers", version="latest")
    silent = await api.ask("GET", "/servers")

    assert latest.headers["X-OpenStack-Nova-API-Version"] == MAX_TEXT
    assert silent.headers["X-OpenStack-Nova-API-Version"] == "2.1"


@pytest.mark.parametrize(
    ("version", "status", "kind"),
    [("2.999", 406, "computeFault"), ("two", 400, "badRequest"), ("3.0", 406, "computeFault")],
)
async def test_a_version_that_is_not_here_is_refused(api: ComputeApi, version: str, status: int, kind: str) -> None:
    reply = await api.ask("GET", "/servers", version=version)

    assert (reply.status, list(reply.body)) == (status, [kind])


async def test_the_legacy_form_knows_no_microversions(api: ComputeApi) -> None:
    reply = await api.ask("GET", "/servers", version="two", below="/v2")

    assert reply.status == HTTPStatus.OK
    assert "OpenStack-API-Version" not in reply.headers


async def test_a_url_that_does_not_exist_is_a_404(api: ComputeApi) -> None:
    reply = await api.ask("GET", "/nonsense")

    assert (reply.status, reply.body) == (
        HTTPStatus.NOT_FOUND,
        {"itemNotFound": {"code": 404, "message": "The resource could not be found."}},
    )


async def test_a_method_that_does_not_exist_is_a_405(api: ComputeApi) -> None:
    reply = await api.ask("PATCH", "/servers")

    assert (reply.status, list(reply.body)) == (HTTPStatus.METHOD_NOT_ALLOWED, ["badMethod"])
    assert "POST" in reply.headers["Allow"]


async def test_every_answer_has_the_id_of_its_request(api: ComputeApi) -> None:
    for path in ("/servers", "/nonsense"):
        reply = await api.ask("GET", path)
        assert reply.headers["X-Compute-Request-Id"].startswith("req-")
        assert reply.headers["X-Openstack-Request-Id"] == reply.headers["X-Compute-Request-Id"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"server"',
        b"{'server': {}}",
        b'{"server": NaN}',
        b'{"server": 1e999}',
        b'{"server": "\xff"}',
        b'{"server": "\\ud800"}',
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"[" * 100_000,
        b'{"server": ' + b"9" * 5000 + b"}",
    ],
    ids=range(13),
)
async def test_a_body_that_is_no_json_object_is_malformed(api: ComputeApi, data: bytes) -> None:
    status, body = await post(api, "/v2.1/servers", data)

    assert (status, body["badRequest"]["message"]) == (HTTPStatus.BAD_REQUEST, "Malformed request body")


async def test_a_body_that_is_too_large_is_not_read(api: ComputeApi) -> None:
    status, body = await post(api, "/v2.1/servers", b" " * 114_689)

    assert (status, body) == (
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        {"overLimit": {"code": 413, "message": "Request is too large.", "retryAfter": "0"}},
    )


async def test_a_body_of_another_type_is_refused(api: ComputeApi) -> None:
    status, body = await post(api, "/v2.1/servers", b"<server/>", **{"Content-Type": "application/xml"})

    assert (status, body) == (
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        {"badMediaType": {"code": 415, "message": "Unsupported Content-Type"}},
    )


async def test_a_key_that_stands_twice_counts_once(api: ComputeApi) -> None:
    status, body = await post(api, "/v2.1/servers", b'{"server": {"name": "a"}, "server": {"name": 1}}')

    assert status == HTTPStatus.BAD_REQUEST
    assert "'flavorRef' is a required property" in str(body["badRequest"]["message"])


async def test_what_nobody_expected_is_logged_once_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(request: web.Request) -> web.Response:
        raise RuntimeError("the password is hunter2")

    async def slow(request: web.Request) -> web.Response:
        raise CallTimeout("compute.c1 did not answer")

    app = web.Application(middlewares=[traced(Tracer("nova-api", Discard())), faults])
    app.add_routes([web.get("/broken", broken), web.get("/slow", slow)])
    with caplog.at_level(logging.WARNING):
        async with serving(app, "127.0.0.1", 0) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            async with http.get("/broken") as response:
                found = await response.json()
            async with http.get("/slow") as unanswered:
                outage = await unanswered.json()

    assert (response.status, found) == (500, {"computeFault": {"code": 500, "message": UNEXPECTED}})
    assert (unanswered.status, list(outage)) == (503, ["serviceUnavailable"])
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert caplog.records[0].exc_info is not None
