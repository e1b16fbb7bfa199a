"""One entry of the registry of server actions, and what its handlers have in common."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from novaflow.models import Context
from novaflow.operations.passwords import generate_password
from services.api.openstack.frame import Api, context, empty
from services.api.openstack.microversion import MIN, Version
from services.api.openstack.schema import Check, anything

Act = Callable[[Api, web.Request, Any], Awaitable[web.Response]]
"""Carries an action out; the last argument is what stands below the action's name, checked."""
Order = Callable[[Context, str], Awaitable[None]]


@dataclass(frozen=True)
class Action:
    """What the body of an action may say, at each microversion; who carries it out; and between which versions it exists."""

    act: Act
    check_at: Callable[[Version], Check]
    since: Version = MIN
    before: Version | None = None


def action(act: Act, check: Check = anything, *, since: Version = MIN, before: Version | None = None) -> Action:
    """An action whose body is the same at every version."""
    return Action(act, lambda _: check, since, before)


Actions = Mapping[str, Action]


def server_id_of(request: web.Request) -> str:
    """Which server."""
    return request.match_info["id"]


def accepting(order: Callable[[Api], Order], status: HTTPStatus = HTTPStatus.ACCEPTED) -> Act:
    """An action that needs nothing but the server, and answers nothing but that it was accepted."""

    async def act(api: Api, request: web.Request, _: object) -> web.Response:
        await order(api)(context(request), server_id_of(request))
        return empty(status)

    return act


def password_of(body: Mapping[str, Any] | None) -> str:
    """The password that was given, or a new one."""
    return (body or {}).get("adminPass") or generate_password()
