"""The EC2 API as one web application: one url, one parameter that says what is wanted.

Who asks is settled before anything else is looked at, and what is wrong with a request before any of it is done.
"""

from collections.abc import Mapping
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from services.api.ec2.errors import Ec2Error, faults
from services.api.ec2.frame import Action, Call, Ec2Api
from services.api.ec2.protocol import own_params, version_of
from services.api.ec2.registry import ACTIONS
from services.api.ec2.replays import used_once
from services.api.ec2.requests import PARAMS, SIGNATURE, read_params
from services.api.ec2.xml import response
from services.web import CONTEXT, REQUEST_ID, SPAN

PATHS: Final = ("/", "/services/Cloud", "/services/Cloud/")


def create_app(
    api: Ec2Api, *, trace: Middleware, authenticate: Middleware, actions: Mapping[str, Action] = ACTIONS
) -> web.Application:
    """The application; `trace` sees every request first, `authenticate` sets request[CONTEXT] and request[SIGNATURE]."""

    async def answer(request: web.Request) -> web.Response:
        given = request[PARAMS]
        version = version_of(given)
        action = _action(given.get("Action"), actions)
        params = own_params(given)
        params.only((*action.takes, "DryRun"))
        request[SPAN].attributes["action"] = action.name
        call = Call(
            context=request[CONTEXT],
            version=version,
            params=params,
            url=f"{request.scheme}://{request.host}",
        )
        if params.flag("DryRun"):
            raise Ec2Error("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
        if action.is_reading or params.text("ClientToken", ""):  # by a token it is done once by itself
            done = await action.perform(api, call)
        else:
            async with used_once(api.signatures, request[SIGNATURE], api.clock):
                done = await action.perform(api, call)
        return response(action.name, version, request[REQUEST_ID], done)

    app = web.Application(
        middlewares=[trace, faults, read_params, authenticate], client_max_size=api.config.api.max_body_bytes
    )
    app.add_routes([route(path, answer) for path in PATHS for route in (web.get, web.post)])
    return app


def _action(name: str | None, actions: Mapping[str, Action]) -> Action:
    if not name:
        raise Ec2Error("MissingAction", "The request must contain the parameter Action")
    if name not in actions:
        raise Ec2Error("InvalidAction", f"The action {name[:64]} is not valid for this web service.")
    return actions[name]
