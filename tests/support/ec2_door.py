"""The EC2 API of a cloud whose Compute API is there already, and boto3 to ask it: two doors, one cloud.

Who asks is settled by the real signatures, with keys that are known beforehand.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import msgspec
import pytest
from boto3 import Session
from botocore.config import Config
from botocore.exceptions import ClientError

from novaflow.clock import Clock
from novaflow.errors import Unauthorized
from novaflow.identity.ec2_requests import SignedRequest
from novaflow.identity.ec2_signatures import verify
from novaflow.models import Context
from rpc.tracing import Discard, Tracer
from services.api.ec2.app import create_app
from services.api.ec2.auth import signed_by_key
from services.api.service import assemble_ec2
from services.web import serving, traced
from tests.support.compute_api import PEOPLE, ComputeApi

REGION: Final = "RegionOne"
_ONCE: Final = Config(retries={"max_attempts": 0}, connect_timeout=10, read_timeout=30)


class KnownKeys:
    """The keys of PEOPLE, whose secrets are `secret of NAME`, and no others."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def verify(self, signed: SignedRequest, request_id: str) -> Context:
        who = PEOPLE.get(signed.access)
        if who is None:
            raise Unauthorized
        verify(signed, secret_of(signed.access), self._clock.now())
        return msgspec.structs.replace(who, request_id=request_id)


@dataclass
class Door:
    """The running API, and what boto3 gets from it."""

    url: str
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, who: str = "alice") -> Any:
        """A boto3 client that asks once."""
        if who not in self._clients:
            self._clients[who] = self.another_client(_ONCE, who)
        return self._clients[who]

    def another_client(self, config: Config, who: str = "alice") -> Any:
        """A boto3 client of its own, to be closed by who asked for it."""
        keys = {"aws_access_key_id": who, "aws_secret_access_key": secret_of(who)}
        return _session().client("ec2", region_name=REGION, endpoint_url=self.url, config=config, **keys)

    async def ask(self, operation: str, *, who: str = "alice", **arguments: Any) -> dict[str, Any]:
        """What the client's method answers; raises ClientError."""
        answer: dict[str, Any] = await asyncio.to_thread(getattr(self.client(who), operation), **arguments)
        answer.pop("ResponseMetadata")
        return answer

    async def refusal(self, operation: str, *, who: str = "alice", **arguments: Any) -> tuple[str, int]:
        """The code and the status of what is refused."""
        with pytest.raises(ClientError) as refused:
            await self.ask(operation, who=who, **arguments)
        response = refused.value.response
        return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]

    async def wait(self, waiter: str, *, who: str = "alice", **arguments: Any) -> None:
        """Wait as boto3 does, looking often; fails when it takes too long."""
        found = self.client(who).get_waiter(waiter)
        await asyncio.to_thread(found.wait, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400}, **arguments)

    async def pages(self, operation: str, key: str, size: int, **arguments: Any) -> list[list[Any]]:
        """What boto3's paginator finds under `key`, page by page."""
        pages = self.client().get_paginator(operation).paginate(PaginationConfig={"PageSize": size}, **arguments)
        return [page[key] for page in await asyncio.to_thread(list, pages)]

    def close(self) -> None:
        """Close the clients' connections."""
        for client in self._clients.values():
            client.close()


@asynccontextmanager
async def ec2_door(api: ComputeApi) -> AsyncIterator[Door]:
    """The door of this cloud for as long as the block runs."""
    tracer = Tracer("nova-api", Discard())
    app = create_app(
        assemble_ec2(api.resources, api.database),
        trace=traced(tracer),
        authenticate=signed_by_key(KnownKeys(api.clock), api.clock),
    )
    async with serving(app, "127.0.0.1", 0) as port:
        door = Door(f"http://127.0.0.1:{port}/services/Cloud")
        try:
            yield door
        finally:
            door.close()


def secret_of(who: str) -> str:
    """The secret key of a person."""
    return f"secret of {who}"


@cache
def _session() -> Session:
    """Reading EC2's model takes a second: once for all tests of a process."""
    return Session()
