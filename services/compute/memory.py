"""What a guest has in its memory: kept while its processors stand still, or saved to disk while it is off."""

from novaflow.messages import ServerOrder
from novaflow.states import Event
from services.compute.carrying_out import carry_out_step
from services.compute.host import ComputeHost


class Memory:
    """Answers to the orders that stop a guest without its forgetting anything. A hard reboot and a delete take over from all of them."""

    def __init__(self, host: ComputeHost) -> None:
        self._host = host
        self._driver = host.driver

    async def pause_instance(self, ask: ServerOrder) -> None:
        """Stop the guest's processors."""
        await carry_out_step(self._host, ask, "pause", self._driver.pause, Event.PAUSED)

    async def unpause_instance(self, ask: ServerOrder) -> None:
        """Let them go on."""
        await carry_out_step(self._host, ask, "unpause", self._driver.unpause, Event.UNPAUSED)

    async def suspend_instance(self, ask: ServerOrder) -> None:
        """Save the guest's memory and switch it off."""
        await carry_out_step(self._host, ask, "suspend", self._driver.suspend, Event.SUSPENDED)

    async def resume_instance(self, ask: ServerOrder) -> None:
        """Start the guest with its memory."""
        await carry_out_step(self._host, ask, "resume", self._driver.resume, Event.RESUMED)
