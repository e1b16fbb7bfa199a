"""What the cloud orders of its own servers: an ordinary action by nobody, for the project the server belongs to.

It goes the way of every action: guarded by the table, recorded as a task, ordered at whoever has to do it; and is found by
recovery when the order is lost.
"""

import logging
import uuid
from typing import Any

from novaflow.db.servers import Servers
from novaflow.errors import IllegalTransition, Locked, NeverActive, NotFound, TaskSuperseded, WrongState
from novaflow.messages import ServerOrder
from novaflow.models import ADMIN_ROLE, Context, Server
from novaflow.states import ACTIONS, Event
from rpc.bus import Bus
from rpc.errors import BusError
from services.reordering import order_of

log = logging.getLogger(__name__)


def internal(server: Server) -> Context:
    """The cloud's own wish about a server: an administrator in the server's project, without a user."""
    return Context(request_id=f"req-{uuid.uuid4()}", user_id="", project_id=server.project_id, roles=(ADMIN_ROLE,))


async def order_internally(bus: Bus, servers: Servers, server: Server, event: Event) -> bool:
    """Order an action on a server as it was read; False when it was given another task first.

    Only actions whose order says no more than whose task it is: none with a password or a new flavor.
    """
    context, action = internal(server), ACTIONS[event].name
    try:
        ordered = await servers.order(context, server, action, event)
    except (WrongState, Locked, NeverActive, IllegalTransition, TaskSuperseded, NotFound):
        log.info("server %s was given another task before its %s", server.id, action)
        return False
    if ordered.task_id is None:
        return False
    procedure = order_of(ordered, action, await servers.migration(ordered.id))
    if procedure is None or procedure.host is None:
        return True  # recovery knows what to do with a server that is on no host
    named: dict[str, Any] = {"context": context, "server_id": ordered.id, "task_id": ordered.task_id}
    order: ServerOrder = procedure.request(**named)
    try:
        await bus.cast(procedure, order)
    except BusError as error:
        log.warning("%s of server %s is recorded, but could not be ordered yet: %s", procedure.name, server.id, error)
    return True
