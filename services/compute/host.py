"""One compute host: what its workers share."""

from dataclasses import dataclass, field
from pathlib import Path

from novaflow.clock import Clock
from novaflow.config import Config
from novaflow.states import Power
from novaflow.virt.driver import Driver
from rpc.tracing import Tracer
from services.compute.records import Records
from services.compute.slots import Slots


@dataclass(frozen=True, kw_only=True)
class ComputeHost:
    """A host's hypervisor, its line to the conductor, and who works on which server.

    `directory` is where it keeps what is its own. `told` is the power state by server that the conductor was last told, so that only news is reported.
    """

    name: str
    directory: Path
    driver: Driver
    records: Records
    config: Config
    clock: Clock
    tracer: Tracer
    slots: Slots = field(default_factory=Slots)
    told: dict[str, Power] = field(default_factory=dict)
