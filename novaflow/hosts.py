"""Compute hosts and what is known of them: what they have, what is used, the aggregates they are in, the services that run there."""

from datetime import datetime
from enum import StrEnum

import msgspec

from novaflow.models import Value


class Aggregate(Value, frozen=True, kw_only=True):
    """A set of hosts with metadata, made by administrators. One with a zone puts its hosts into that availability zone."""

    id: int
    uuid: str
    name: str
    availability_zone: str | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    created_at: datetime | None = None
    updated_at: datetime | None = None


class HostResources(Value, frozen=True, kw_only=True):
    """What a compute host has, as its driver reports it."""

    vcpus: int
    ram_mb: int
    disk_gb: int
    hypervisor_type: str = "QEMU"
    hypervisor_version: int = 0
    hypervisor_hostname: str = ""
    cpu_info: dict[str, object] = msgspec.field(default_factory=dict)
    host_ip: str = "127.0.0.1"


class Host(Value, frozen=True, kw_only=True):
    """One compute host as the scheduler sees it. `id` is stable over the host's life (a UUID)."""

    id: str
    name: str
    resources: HostResources
    vcpus_used: int = 0
    ram_mb_used: int = 0
    disk_gb_used: int = 0
    servers: int = 0
    is_up: bool = True
    is_enabled: bool = True
    availability_zone: str = "nova"
    aggregates: tuple[Aggregate, ...] = ()  # those it is in, without their hosts
    io_ops: int = 0  # servers on it that are being built, resized, copied or rebuilt
    flavor_ids: tuple[str, ...] = ()  # of its servers; like `io_ops` read only where a filter asks

    @property
    def zone(self) -> str:
        """The availability zone it counts for: an aggregate's, if one that it is in has one."""
        return next((one.availability_zone for one in self.aggregates if one.availability_zone), self.availability_zone)


class ServiceRecord(Value, frozen=True, kw_only=True):
    """One process of the cloud, as `openstack compute service list` shows it."""

    id: int
    uuid: str
    binary: str  # nova-scheduler, nova-conductor, nova-compute
    host: str
    zone: str
    is_enabled: bool
    is_up: bool
    updated_at: datetime
    disabled_reason: str | None = None
    is_forced_down: bool = False


class Verdict(StrEnum):
    """What a server is to a host that has something of it."""

    PLACED = "placed"  # it lives there
    MOVING = "moving"  # it is on its way there or from there
    UNWANTED = "unwanted"  # it was deleted, or lives elsewhere
    UNKNOWN = "unknown"  # this database has never heard of it
