"""A small client of the public REST APIs: what the instruments need to drive any OpenStack, novaflow among them.

It finds the services in the Identity v3 catalogue and knows nothing of the implementation that answers.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import msgspec

from novaflow.lab.ec2.signing import Keys

_MICROVERSION: Final = "2.37"  # the first in which a server may be asked for without networks
_TIMEOUT: Final = aiohttp.ClientTimeout(total=300, sock_connect=10)


class ApiError(Exception):
    """An answer that is not the one expected: what was asked, the status, and the beginning of the text."""

    def __init__(self, asked: str, status: int, text: str) -> None:
        super().__init__(f"{asked}: {status} {text[:300]}")
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Who logs in where. The password never shows in a repr."""

    auth_url: str  # with the version: http://host:5000/v3
    user: str
    password: str = field(repr=False)
    project: str
    user_domain: str = "default"
    project_domain: str = "default"
    region: str = ""
    interface: str = "public"

    def body(self) -> dict[str, object]:
        """The v3 password authentication with project scope."""
        user = {"name": self.user, "domain": {"id": self.user_domain}, "password": self.password}
        scope = {"project": {"name": self.project, "domain": {"id": self.project_domain}}}
        return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}


class OpenStack:
    """A session with one cloud. Use `connect`."""

    def __init__(self, http: aiohttp.ClientSession, credentials: Credentials) -> None:
        self._http = http
        self._credentials = credentials
        self._headers: dict[str, str] = {}
        self.compute = ""
        self.image = ""

    async def issue_token(self) -> tuple[str, dict[str, Any]]:
        """A new token and what came with it. Raises ApiError."""
        url = f"{self._credentials.auth_url.rstrip('/')}/auth/tokens"
        async with self._http.post(url, json=self._credentials.body()) as answer:
            if answer.status != HTTPStatus.CREATED:
                raise ApiError(f"POST {url}", answer.status, await answer.text())
            body = msgspec.json.decode(await answer.read())
            return answer.headers["X-Subject-Token"], body["token"]

    async def login(self) -> None:
        """Take a token and find the compute and image services in its catalogue."""
        token, facts = await self.issue_token()
        self.compute = self._endpoint(facts, "compute")
        image = self._endpoint(facts, "image")
        self.image = image if image.endswith("/v2") else f"{image}/v2"
        self._headers = {
            "X-Auth-Token": token,
            "OpenStack-API-Version": f"compute {_MICROVERSION}",
            "X-OpenStack-Nova-API-Version": _MICROVERSION,
        }

    def _endpoint(self, facts: Mapping[str, Any], kind: str) -> str:
        for service in facts["catalog"]:
            for endpoint in service["endpoints"] if service["type"] == kind else ():
                if endpoint["interface"] == self._credentials.interface and self._credentials.region in (
                    "",
                    endpoint["region_id"],
                ):
                    return str(endpoint["url"]).rstrip("/")
        raise ApiError("the catalogue", HTTPStatus.NOT_FOUND, f"there is no {kind} endpoint")

    async def ec2_keys(self) -> Keys:
        """The first EC2 keys of the user for his project, made when he has none. Raises ApiError."""
        token, facts = await self.issue_token()
        url = f"{self._credentials.auth_url.rstrip('/')}/users/{facts['user']['id']}/credentials/OS-EC2"
        project_id, headers = facts["project"]["id"], {"X-Auth-Token": token}
        found = (await self.ask("GET", url, headers=headers))["credentials"]
        mine = next((pair for pair in found if pair["tenant_id"] == project_id), None)
        if mine is None:
            answer = await self.ask("POST", url, json={"tenant_id": project_id}, headers=headers)
            mine = answer["credential"]
        return Keys(mine["access"], mine["secret"])

    @property
    def headers(self) -> Mapping[str, str]:
        """What every request carries: the token and the version of the API. No log is the place for it."""
        return self._headers

    async def ask(
        self,
        method: str,
        url: str,
        *,
        json: object = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (200, 201, 202, 204),
    ) -> Any:
        """One request; gives the decoded JSON, or bytes, or None for no body. Raises ApiError.

        A token that has ended is replaced once, unless `headers` bring their own or `data` can be sent only once.
        """
        body = msgspec.json.encode(json) if json is not None else data
        more = {**({"Content-Type": "application/json"} if json is not None else {}), **(headers or {})}
        status, kind, content = await self._send(method, url, body, more)
        if status == HTTPStatus.UNAUTHORIZED and "X-Auth-Token" not in more and isinstance(body, bytes | None):
            await self.login()
            status, kind, content = await self._send(method, url, body, more)
        if status not in accept:
            raise ApiError(f"{method} {url}", status, content.decode(errors="replace"))
        if content and kind == "application/json":
            return msgspec.json.decode(content)
        return content or None

    async def _send(self, method: str, url: str, body: Any, more: Mapping[str, str]) -> tuple[int, str, bytes]:
        headers = {**self._headers, **more}
        async with self._http.request(method, url, data=body, headers=headers) as answer:
            return answer.status, answer.content_type, await answer.read()

    async def upload_image(self, name: str, data: Any, **facts: object) -> str:
        """Make an image with these facts and its data; gives its id."""
        image = await self.ask("POST", f"{self.image}/images", json={"name": name, **facts})
        await self.ask(
            "PUT",
            f"{self.image}/images/{image['id']}/file",
            data=data,
            headers={"Content-Type": "application/octet-stream"},
        )
        return str(image["id"])

    async def boot(self, name: str, image: str, flavor: str, **more: object) -> str:
        """Order a server; gives its id."""
        wish = {"name": name, "imageRef": image, "flavorRef": flavor, "networks": "none", **more}
        answer = await self.ask("POST", f"{self.compute}/servers", json={"server": wish})
        return str(answer["server"]["id"])

    async def server(self, server_id: str) -> dict[str, Any] | None:
        """The server as the API shows it, or None when there is none."""
        answer = await self.ask("GET", f"{self.compute}/servers/{server_id}", accept=(200, 404))
        found: dict[str, Any] | None = answer.get("server")
        return found

    async def delete_server(self, server_id: str) -> None:
        """Order the deletion."""
        await self.ask("DELETE", f"{self.compute}/servers/{server_id}")


@asynccontextmanager
async def connect(credentials: Credentials) -> AsyncIterator[OpenStack]:
    """A logged-in session with the cloud of `credentials`."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as http:
        cloud = OpenStack(http, credentials)
        await cloud.login()
        yield cloud
