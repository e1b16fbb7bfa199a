"""The instruments' client of the REST APIs, over a real connection to a cloud of a few lines."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from novaflow.lab.openstack import ApiError, Credentials, OpenStack, connect
from services.web import serving


class Forgetful:
    """An identity and a compute service that know the newest token alone, and none of a user who was locked out."""

    def __init__(self) -> None:
        self.issued = 0
        self.is_locked_out = False
        self.deleted: list[str] = []

    async def issue(self, request: web.Request) -> web.Response:
        """`POST /v3/auth/tokens`."""
        self.issued += 1
        url = f"http://{request.host}"
        catalogue = [
            {"type": kind, "endpoints": [{"interface": "public", "region_id": "one", "url": url}]}
            for kind in ("compute", "image")
        ]
        headers = {"X-Subject-Token": f"token {self.issued}"}
        return web.json_response({"token": {"catalog": catalogue}}, status=201, headers=headers)

    async def delete(self, request: web.Request) -> web.Response:
        """`DELETE /servers/{id}`."""
        if self.is_locked_out or request.headers["X-Auth-Token"] != f"token {self.issued}":
            raise web.HTTPUnauthorized
        self.deleted.append(request.match_info["id"])
        return web.Response(status=204)


@asynccontextmanager
async def logged_in(service: Forgetful) -> AsyncIterator[OpenStack]:
    app = web.Application()
    app.add_routes([web.post("/v3/auth/tokens", service.issue), web.delete("/servers/{id}", service.delete)])
    async with serving(app, "127.0.0.1", 0) as port:
        who = Credentials(auth_url=f"http://127.0.0.1:{port}/v3", user="u", password="p", project="p")
        async with connect(who) as cloud:
            yield cloud


async def test_a_token_that_has_ended_is_replaced_and_the_request_sent_again() -> None:
    service = Forgetful()
    async with logged_in(service) as cloud:
        service.issued += 1  # what was issued before counts no more

        await cloud.delete_server("s1")

        assert service.deleted == ["s1"]
        assert service.issued == 3


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": "somebody else's"}])
async def test_who_is_refused_with_a_fresh_token_is_told_so(headers: Mapping[str, str]) -> None:
    service = Forgetful()
    service.is_locked_out = True
    async with logged_in(service) as cloud:
        with pytest.raises(ApiError) as refused:
            await cloud.ask("DELETE", f"{cloud.compute}/servers/s1", headers=headers)

        assert refused.value.status == 401
        assert service.issued == 1 + (not headers)
