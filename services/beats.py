"""A service's own sign of life in the table that `openstack compute service list` shows."""

import logging
import socket
from typing import Final

from novaflow.clock import Clock
from novaflow.db.services import Services

ZONE: Final = "internal"  # where Nova lists the services that are not compute hosts
log = logging.getLogger(__name__)


async def beat(services: Services, binary: str, interval: float, clock: Clock) -> None:
    """Say every `interval` seconds that `binary` on this machine lives, until cancelled; an outage is waited out."""
    host, silent = socket.gethostname(), False
    while True:
        try:
            await services.beat(binary, host, ZONE)
            silent = False
        except Exception as error:
            if not silent:
                log.warning("%s cannot say that it lives: %s", binary, error)
            silent = True
        await clock.sleep(interval)
