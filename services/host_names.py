"""What the compute hosts of a process are called."""

import socket

from novaflow.config import Compute


def host_names(settings: Compute) -> list[str]:
    """The machine's name unless another is set; numbered where there are several."""
    name = settings.host or socket.gethostname()
    return [name] if settings.hosts == 1 else [f"{name}-{number}" for number in range(1, settings.hosts + 1)]
