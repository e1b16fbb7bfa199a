"""Looking at a server's guest, without doing anything to it that its owner would have to wait for.

What the hypervisor cannot tell, because the guest is off, is a conflict with the server's state. Sources: nova/compute/api.py and manager.py.
"""

import base64
from typing import Final, NoReturn

from novaflow import guards
from novaflow.errors import Conflict, GuestFailed, Invalid, WrongState
from novaflow.messages import (
    GET_CONSOLE_OUTPUT,
    GET_DIAGNOSTICS,
    GET_SCREENSHOT,
    GET_VNC_CONSOLE,
    TRIGGER_CRASH_DUMP,
    ConsoleAddress,
    ConsoleAsk,
    GuestAsk,
)
from novaflow.models import Context, Server
from novaflow.operations.rights import admin_only
from novaflow.operations.server_orders import ServerOrders, host_of
from novaflow.states import Task, Vm
from novaflow.virt.driver import Diagnostics

_NO_CONSOLE_WHILE: Final = (Task.DELETING, Task.MIGRATING)
_CRASHABLE: Final = (Vm.ACTIVE, Vm.PAUSED, Vm.RESCUED, Vm.RESIZED, Vm.ERROR)  # ALLOW_TRIGGER_CRASH_DUMP


class ServerGuests:
    """All raise NotFound, Conflict for a server on no host, CallTimeout or Unroutable when its host does not answer."""

    def __init__(self, orders: ServerOrders) -> None:
        self._orders = orders

    async def console_output(self, context: Context, server_id: str, lines: int | None) -> str:
        """The last `lines` lines (None: all that is kept) of the server's console."""
        server = await self._orders.get(context, server_id)
        return (await self._orders.ask(GET_CONSOLE_OUTPUT, server, ConsoleAsk(server_id=server.id, lines=lines))).output

    async def console(self, context: Context, server_id: str, *, action: str) -> ConsoleAddress:
        """Where its screen is served by VNC. Raises WrongState while it is on its way to another host or its end."""
        server = await self._with_console(context, server_id, action)
        try:
            return await self._orders.ask(GET_VNC_CONSOLE, server, GuestAsk(server_id=server.id))
        except GuestFailed as error:
            raise Conflict(reason=f"Instance {server.id} is not ready") from error

    async def refuse_console(self, context: Context, server_id: str, kind: str, *, action: str) -> NoReturn:
        """A console of a kind that is not served here: raises Invalid, and before that what `console` does."""
        await self._with_console(context, server_id, action)
        raise Invalid(reason=f"Unavailable console type {kind}.")

    async def screenshot(self, context: Context, server_id: str) -> bytes:
        """Its screen as a PNG. Raises Conflict when it is off."""
        server = await self._with_console(context, server_id, "screenshot")
        try:
            picture = await self._orders.ask(GET_SCREENSHOT, server, GuestAsk(server_id=server.id))
        except GuestFailed as error:
            raise Conflict(reason=str(error)) from error
        return base64.b64decode(picture.png)

    async def diagnostics(self, context: Context, server_id: str) -> Diagnostics:
        """What the hypervisor counts of it. Raises Forbidden, WrongState when it is off."""
        admin_only(context, "os_compute_api:os-server-diagnostics")
        server = await self._orders.get(context, server_id)
        try:
            return await self._orders.ask(GET_DIAGNOSTICS, server, GuestAsk(server_id=server.id))
        except GuestFailed as error:
            state = str(int(server.power))
            raise WrongState(
                action="get_diagnostics", server_id=server.id, attribute="power state", state=state
            ) from error

    async def crash(self, context: Context, server_id: str) -> None:
        """Have its kernel crash and dump. Raises Locked, WrongState, Conflict when it is off."""
        server = await self._orders.get(context, server_id)
        guards.refuse_locked(context, server)
        host_of(server)
        guards.refuse_unless(server, "trigger_crash_dump", _CRASHABLE)
        try:
            await self._orders.ask(TRIGGER_CRASH_DUMP, server, GuestAsk(server_id=server.id))
        except GuestFailed as error:
            raise Conflict(reason=str(error)) from error

    async def _with_console(self, context: Context, server_id: str, action: str) -> Server:
        server = await self._orders.get(context, server_id)
        host_of(server)
        guards.refuse_while(server, action, _NO_CONSOLE_WHILE)
        return server
