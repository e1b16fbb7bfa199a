"""Which event loop a process runs on.

uvloop, unless libvirt forks guests in this process. libuv puts its signal pipe anew into every child of a fork, under the old
numbers, and libvirt forks twice: the second child's report to the first is then closed under its hands as soon as the
numbers meet, and no guest starts ("Unable to notify child process: Bad file descriptor"). asyncio's own loop leaves foreign
forks alone, and beside a guest's boot its speed does not show.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from novaflow.config import Config

_COMPUTE: Final = "compute"
_FORKS_NOTHING: Final = "fake"


def loop_factory(config: Config, services: Collection[str]) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the loop of a process that runs `services`."""
    if _COMPUTE in services and config.compute.virt != _FORKS_NOTHING:
        return asyncio.new_event_loop
    import uvloop  # not needed where it must not be used

    return uvloop.new_event_loop
