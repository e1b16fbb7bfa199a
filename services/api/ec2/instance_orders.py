"""StopInstances, StartInstances, RebootInstances, TerminateInstances: all of the instances named, or none.

Every instance is looked at before the first one is ordered anything, so a request that names one that cannot is refused as a whole. One
that is already what it shall become is left alone, as Amazon does.
"""

from contextlib import suppress
from typing import Final

from novaflow import guards
from novaflow.errors import Locked, NeverActive, NotFound, WrongState
from novaflow.states import ACTIONS as SERVER_ACTIONS
from novaflow.states import MOVES, Event
from services.api.ec2.errors import Ec2Error
from services.api.ec2.frame import Action, Answer, Call, Ec2Api
from services.api.ec2.instance_lookup import named
from services.api.ec2.instance_states import InstanceState
from services.api.ec2.instance_views import Instance, state_view
from services.api.ec2.xml import Tree

_DONE_STOPPING: Final = (InstanceState.STOPPED, InstanceState.STOPPING)
_DONE_STARTING: Final = (InstanceState.RUNNING,)


async def stop_instances(api: Ec2Api, call: Call) -> Answer:
    """Switch them off: the guest is asked first, and then its power taken. Force changes nothing; raises
    UnsupportedHibernationConfiguration for Hibernate.
    """
    call.params.flag("Force")
    if call.params.flag("Hibernate"):
        raise Ec2Error("UnsupportedHibernationConfiguration", "Instances are not hibernated here.")
    instances = await named(api, call, call.params.some_texts("InstanceId"))
    due = [one for one in instances if one.state not in _DONE_STOPPING]
    _check(call, due, Event.STOP_ORDERED, "stopped")
    for one in due:
        await api.server_actions.power.stop(call.context, one.server.id)
    return await _changes(api, call, instances)


async def start_instances(api: Ec2Api, call: Call) -> Answer:
    """Switch them on."""
    instances = await named(api, call, call.params.some_texts("InstanceId"))
    due = [one for one in instances if one.state not in _DONE_STARTING]
    _check(call, due, Event.START_ORDERED, "started")
    for one in due:
        await api.server_actions.power.start(call.context, one.server.id)
    return await _changes(api, call, instances)


async def reboot_instances(api: Ec2Api, call: Call) -> Answer:
    """Restart them by asking their guests; one that is not in order has its power cut."""
    instances = await named(api, call, call.params.some_texts("InstanceId"))
    _check(call, instances, Event.HARD_REBOOT_ORDERED, "rebooted")
    for one in instances:
        hard = (one.server.state, Event.REBOOT_ORDERED) not in MOVES
        await api.server_actions.power.reboot(call.context, one.server.id, hard=hard)
    return {"return": True}


async def terminate_instances(api: Ec2Api, call: Call) -> Answer:
    """End them for good, whatever they are doing."""
    instances = await named(api, call, call.params.some_texts("InstanceId"))
    due = [one for one in instances if one.server.deleted_at is None]
    for one in due:
        try:
            guards.refuse_locked(call.context, one.server)
        except Locked as error:
            raise _protected(one) from error
    for one in due:
        with suppress(NotFound):  # it has just ended, which is all that is asked for
            await api.server_actions.ends.delete(call.context, one.server.id)
    return await _changes(api, call, instances)


def _check(call: Call, instances: list[Instance], event: Event, what: str) -> None:
    """Raises IncorrectInstanceState, or OperationNotPermitted, for the first one that this cannot be ordered of."""
    for one in instances:
        try:
            guards.check(call.context, one.server, SERVER_ACTIONS[event].name, event)
        except (WrongState, NeverActive) as error:
            said = f"The instance '{one.id}' is not in a state from which it can be {what}: {one.state.word}."
            raise Ec2Error("IncorrectInstanceState", said) from error
        except Locked as error:
            raise _protected(one) from error


def _protected(instance: Instance) -> Ec2Error:
    return Ec2Error("OperationNotPermitted", f"The instance '{instance.id}' is locked.")


async def _changes(api: Ec2Api, call: Call, before: list[Instance]) -> Answer:
    """What they were, and what they are now."""
    after = await named(api, call, [one.id for one in before])
    changes: list[Tree] = [
        {
            "instanceId": now.id,
            "currentState": state_view(now.state),
            "previousState": state_view(then.state),
        }
        for then, now in zip(before, after, strict=True)
    ]
    return {"instancesSet": changes}


ACTIONS: Final = (
    Action("StopInstances", stop_instances, takes=("InstanceId", "Force", "Hibernate")),
    Action("StartInstances", start_instances, takes=("InstanceId",)),
    Action("RebootInstances", reboot_instances, takes=("InstanceId",)),
    Action("TerminateInstances", terminate_instances, takes=("InstanceId",)),
)
