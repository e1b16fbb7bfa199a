"""A new password for somebody in the guest, by way of the guest's agent.

A guest without one cannot be given a password. The order was accepted by then, so the refusal is told in the server's action, with Nova's
sentence (InstancePasswordSetFailed), and the server stays as it is.
"""

from typing import Final

from novaflow.errors import Conflict, GuestFailed
from novaflow.messages import PasswordOrder
from novaflow.models import BuildPlan
from novaflow.states import Event, Power
from services.compute.carrying_out import Job, carry_out
from services.compute.host import ComputeHost

_USER: Final = "root"
_USER_ON_WINDOWS: Final = "Administrator"


class Passwords:
    """Answers to the order for a new password."""

    def __init__(self, host: ComputeHost) -> None:
        self._host = host

    async def set_admin_password(self, ask: PasswordOrder) -> None:
        """Have the agent set it. The password is in no error and in no trace."""

        async def set_password(job: Job) -> None:
            plan = (await job.assignment()).plan
            try:
                if await self._host.driver.power(plan.server.id) is not Power.RUNNING:
                    raise _refused(plan, f"instance {plan.server.id} is not running")
                with job.hop("set password"):
                    work = self._host.driver.set_password(plan.server.id, _user(plan), ask.admin_password)
                    await job.unless_taken_over(work)
            except GuestFailed as error:
                raise _refused(plan, error.reason) from None
            await job.done(Event.PASSWORD_SET)

        await carry_out(self._host, ask, set_password)


def _user(plan: BuildPlan) -> str:
    """Whose password it is (nova/virt/libvirt/driver.py, set_admin_password)."""
    properties = plan.image.properties if plan.image else {}
    own = _USER_ON_WINDOWS if properties.get("os_type") == "windows" else _USER
    return properties.get("os_admin_user") or own


def _refused(plan: BuildPlan, reason: str) -> Conflict:
    return Conflict(reason=f"Failed to set admin password on {plan.server.id} because {reason}")
