"""A server that is in no database, for what only looks at servers."""

from datetime import datetime
from typing import Any, Final

from novaflow.models import Flavor, Server
from novaflow.states import Power, Task, Vm

FLAVOR: Final = Flavor(id="1", name="m1.tiny", vcpus=1, ram_mb=512, disk_gb=1)


def plain_server(made_at: datetime, **changes: Any) -> Server:
    """One that has been up since it was made, without anything that it need not have."""
    facts: dict[str, Any] = {
        "id": "8f5b8f5e-0000-4000-8000-000000000001",
        "name": "web",
        "hostname": "web",
        "project_id": "project",
        "user_id": "user",
        "flavor": FLAVOR,
        "image_id": "image",
        "vm": Vm.ACTIVE,
        "task": Task.IDLE,
        "power": Power.RUNNING,
        "created_at": made_at,
        "updated_at": made_at,
        "launched_at": made_at,
    }
    return Server(**(facts | changes))
