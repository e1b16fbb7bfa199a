"""One client for all doors: bytes out, bytes in, over connections that are kept."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import aiohttp

from novaflow.lab.ec2.doors import Ec2Api
from novaflow.lab.ec2.signing import Request
from novaflow.lab.openstack import ApiError

_TIMEOUT: Final = aiohttp.ClientTimeout(total=60)
_IMAGE: Final = re.compile(rb"<imageId>(ami-[0-9a-f]+)</imageId>")


def session(connections: int) -> aiohttp.ClientSession:
    """A client with so many connections at most."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections), timeout=_TIMEOUT)


async def sent(http: aiohttp.ClientSession, request: Request) -> bytes:
    """The whole answer to a request. Raises ApiError, aiohttp.ClientError."""
    async with http.request(request.method, request.url, headers=request.headers, data=request.body) as answer:
        content = await answer.read()
        if not answer.ok:
            raise ApiError(f"{request.method} {request.url}", answer.status, content.decode(errors="replace"))
        return content


async def image(api: Ec2Api, filters: Mapping[str, str]) -> str:
    """The id of the first image that passes these filters. Raises ApiError, aiohttp.ClientError."""
    numbered = enumerate(filters.items(), 1)
    params = {
        key: text
        for number, (name, value) in numbered
        for key, text in ((f"Filter.{number}.Name", name), (f"Filter.{number}.Value.1", value))
    }
    request = api.ask("DescribeImages", params)
    async with session(1) as http:
        found = _IMAGE.search(await sent(http, request))
    if found is None:
        raise ApiError(f"DescribeImages at {api.url}", HTTPStatus.NOT_FOUND, f"no image is {dict(filters)}")
    return found[1].decode()
