"""The cloud of the crash matrix: two compute hosts, each a process of its own, so that the one a server leaves can die without the other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.supervisor import Child, supervised
from tests.support.another_host import command
from tests.support.crashes import CrashingCloud, crashing_cloud

SOURCE: Final = "source"
DESTINATION: Final = "destination"
HOSTS: Final = (SOURCE, DESTINATION)
DRAIN_TIMEOUT: Final = 20.0  # seconds
SETTINGS: Final = """
[quota]
instances = 1000
cores = 1000
ram = 1000000
volumes = 1000
gigabytes = 10000
snapshots = 1000
[conductor]
task_lease = 3.0
recovery_interval = 0.5
audit_interval = 2.0
[compute]
host = "source"
fake_delay = {delay}
heartbeat_interval = 1.0
service_down_time = 30.0
stop_timeout = 5.0
sync_power_state_interval = 2.0
reclaim_instance_interval = 3600.0
shelved_offload_time = {shelved}
allow_resize_to_same_host = false
[bus]
retry_delay = 0.2
"""


@dataclass
class TwoHosts(CrashingCloud):
    """Servers begin at `source`; `destination` is where those go that move."""

    destination: Child | None = None

    def pid(self, service: str) -> int | None:
        """As for any service; the two hosts are found by their names."""
        if service == DESTINATION:
            return self.destination.pid if self.destination else None
        return super().pid("compute" if service == SOURCE else service)

    @property
    def directories(self) -> dict[str, Path]:
        """Where each host keeps what is its own."""
        return {
            SOURCE: self.state_dir / "compute" / SOURCE,
            DESTINATION: self.state_dir / DESTINATION / "compute" / DESTINATION,
        }


@asynccontextmanager
async def two_hosts(state_dir: Path, *, delay: float, shelved: float) -> AsyncIterator[TwoHosts]:
    """A fresh one. Everything a host does takes `delay` seconds; shelved servers stay on their host for `shelved`."""
    async with crashing_cloud(state_dir, SETTINGS.format(delay=delay, shelved=shelved), hosts=1) as cloud:
        commands = {"compute-destination": command(state_dir, DESTINATION)}
        async with supervised(commands, state_dir / "log", DRAIN_TIMEOUT, lambda _: None) as (child,):
            yield TwoHosts(
                cloud.state_dir,
                cloud.client,
                cloud.broker,
                cloud.database,
                cloud.records,
                cloud.said,
                destination=child,
            )
