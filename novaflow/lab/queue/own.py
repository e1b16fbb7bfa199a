"""novaflow's own contestants: the bus over a broker, and the bus in one process without any."""

import sys
from typing import Final

from novaflow.lab.queue.contestant import IN_PROCESS
from novaflow.lab.queue.figures import MEMORY, NOVAFLOW
from novaflow.lab.queue.peers import Contestant

_COMMAND: Final = (sys.executable, "-m", "novaflow.lab.queue.contestant")


def over_broker() -> Contestant:
    """The bus over RabbitMQ."""
    return Contestant(
        name=NOVAFLOW,
        command=_COMMAND,
        patterns=frozenset({"call", "cast", "fanout"}),
        durabilities=frozenset({"transient", "durable", "quorum"}),
        environment={},
    )


def in_process() -> Contestant:
    """The bus over the memory transport; every value is a copy made by the codec."""
    return Contestant(
        name=MEMORY,
        command=(*_COMMAND, IN_PROCESS),
        patterns=frozenset({"call", "cast"}),
        durabilities=frozenset({"transient"}),
        environment={},
    )
