"""Looking at a guest: what it writes, shows and uses, and the one thing that is done to it without a task, having it dump its memory."""

import base64

from novaflow.messages import ConsoleAddress, ConsoleAsk, ConsoleText, GuestAsk, Nothing, Picture
from novaflow.virt.driver import Diagnostics
from services.compute.host import ComputeHost


class Screens:
    """Answers to questions about one guest. What the hypervisor refuses is GuestFailed, for whoever asked."""

    def __init__(self, host: ComputeHost) -> None:
        self._host = host
        self._driver = host.driver

    async def get_console_output(self, ask: ConsoleAsk) -> ConsoleText:
        """The last lines of the serial console."""
        raw = await self._driver.console_output(ask.server_id, self._host.config.compute.console_bytes)
        text = raw.decode(errors="replace")
        if ask.lines is None:
            return ConsoleText(output=text)
        return ConsoleText(output="".join(text.splitlines(keepends=True)[-ask.lines :] if ask.lines > 0 else []))

    async def get_vnc_console(self, ask: GuestAsk) -> ConsoleAddress:
        """Where the screen is served."""
        console = await self._driver.console(ask.server_id)
        return ConsoleAddress(host=console.host, port=console.port)

    async def get_screenshot(self, ask: GuestAsk) -> Picture:
        """The screen as it is now."""
        return Picture(png=base64.b64encode(await self._driver.screenshot(ask.server_id)).decode())

    async def get_diagnostics(self, ask: GuestAsk) -> Diagnostics:
        """What the hypervisor counts."""
        return await self._driver.diagnostics(ask.server_id)

    async def trigger_crash_dump(self, ask: GuestAsk) -> Nothing:
        """Interrupt the guest's kernel so that it dumps."""
        await self._driver.inject_nmi(ask.server_id)
        return Nothing()
