"""Rules about what kind of host it is: capabilities, hypervisor and architecture, and which flavors live there."""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from novaflow.hosts import Host
from novaflow.models import Flavor, ImageFacts
from novaflow.placement.asking import Ask, Refusal, Rule, refuse
from novaflow.placement.rules.extra_specs import matches, specs_of

_CAPABILITIES: Final = "capabilities"
# What a spec or a query may ask of a host, by the names of Nova's HostState.
FACTS: Final[Mapping[str, Callable[[Host], object]]] = {
    "host": lambda host: host.name,
    "nodename": lambda host: host.resources.hypervisor_hostname or host.name,
    "host_ip": lambda host: host.resources.host_ip,
    "hypervisor_type": lambda host: host.resources.hypervisor_type,
    "hypervisor_version": lambda host: host.resources.hypervisor_version,
    "hypervisor_hostname": lambda host: host.resources.hypervisor_hostname or host.name,
    "cpu_info": lambda host: host.resources.cpu_info,
    "vcpus_total": lambda host: host.resources.vcpus,
    "vcpus_used": lambda host: host.vcpus_used,
    "total_usable_ram_mb": lambda host: host.resources.ram_mb,
    "free_ram_mb": lambda host: host.resources.ram_mb - host.ram_mb_used,
    "total_usable_disk_gb": lambda host: host.resources.disk_gb,
    "free_disk_mb": lambda host: (host.resources.disk_gb - host.disk_gb_used) * 1024,
    "disk_mb_used": lambda host: host.disk_gb_used * 1024,
    "num_instances": lambda host: host.servers,
    "num_io_ops": lambda host: host.io_ops,
}
_ARCHITECTURES: Final = {"amd64": "x86_64", "x86-64": "x86_64", "i386": "i686", "x86": "i686", "arm64": "aarch64"}
# libvirt calls both QEMU.
_HYPERVISORS: Final = {"qemu": frozenset({"qemu", "kvm"}), "kvm": frozenset({"qemu", "kvm"})}
_VM_MODE: Final = "hvm"  # all that is run here is fully virtualised
_VM_MODES: Final = {"hv": "hvm", "pv": "xen"}
_REQUIRED_VERSION: Final = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*([0-9.]+)\s*\Z")
_VERSIONS: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}


def fact(host: Host, path: list[str]) -> Any:
    """What a host is or has, by Nova's name and, in a fact of parts, the parts' names; None when there is no such thing."""
    found: Any = FACTS[path[0]](host) if path and path[0] in FACTS else None
    for part in path[1:]:
        found = found.get(part) if isinstance(found, dict) else None
    return found


def capability_specs(flavor: Flavor) -> tuple[tuple[str, str], ...]:
    """The extra specs that ask something of a host: those of scope `capabilities`, and those of no scope."""
    return specs_of(flavor, _CAPABILITIES)


def compute_capabilities(ask: Ask) -> Rule | None:
    """The host is and has what the flavor's extra specs ask, such as `capabilities:cpu_info:features` = `<in> avx2`."""
    specs = [(key, key.split(":"), wanted) for key, wanted in capability_specs(ask.spec.flavor)]
    if not specs:
        return None

    def rule(host: Host) -> Refusal | None:
        for key, path, wanted in specs:
            value = fact(host, path)
            if value is None or not matches(value, wanted):
                return refuse("{} is {}, {} asked", key, "unknown" if value is None else value, wanted)
        return None

    return rule


def image_wishes(image: ImageFacts | None) -> tuple[tuple[str, str], ...]:
    """The image properties that ask something of a host."""
    if image is None:
        return ()
    properties = image.properties
    wishes = {
        "architecture": properties.get("hw_architecture") or properties.get("architecture"),
        "hypervisor type": properties.get("img_hv_type") or properties.get("hypervisor_type"),
        "vm mode": properties.get("hw_vm_mode") or properties.get("vm_mode"),
        "hypervisor version": properties.get("img_hv_requested_version")
        or properties.get("hypervisor_version_requires"),
    }
    return tuple((key, value) for key, value in wishes.items() if value)


def image_properties(ask: Ask) -> Rule | None:
    """The host runs what the image was made for: its architecture, hypervisor, its version, and way of virtualising."""
    wishes = image_wishes(ask.spec.image)
    if not wishes:
        return None
    checks = [(what, wanted, _CHECKS[what](wanted)) for what, wanted in wishes]

    def rule(host: Host) -> Refusal | None:
        for what, wanted, check in checks:
            if not check(host):
                return refuse("the image needs {} {}", what, wanted)
        return None

    return rule


def type_affinity(ask: Ask) -> Rule:
    """A host has servers of one flavor only."""
    mine = ask.spec.flavor.id

    def rule(host: Host) -> Refusal | None:
        others = [flavor for flavor in host.flavor_ids if flavor != mine]
        return refuse("it has servers of flavor {}", others[0]) if others else None

    return rule


def _architecture(wanted: str) -> Callable[[Host], bool]:
    name = wanted.lower()
    name = _ARCHITECTURES.get(name, name)
    return lambda host: host.resources.cpu_info.get("arch") == name


def _hypervisor(wanted: str) -> Callable[[Host], bool]:
    name = wanted.lower()

    def check(host: Host) -> bool:
        has = host.resources.hypervisor_type.lower()
        return name in _HYPERVISORS.get(has, (has,))

    return check


def _vm_mode(wanted: str) -> Callable[[Host], bool]:
    name = wanted.lower()
    is_ours = _VM_MODES.get(name, name) == _VM_MODE
    return lambda _host: is_ours


def _version(wanted: str) -> Callable[[Host], bool]:
    """Such as `>=7.0,<9`; what is not that is met by nobody."""
    rules = [_REQUIRED_VERSION.match(part) for part in wanted.split(",")]
    if not all(rules):
        return lambda _host: False
    bounds = [(_VERSIONS[rule.group(1)], _number(rule.group(2))) for rule in rules if rule]
    return lambda host: all(compare(host.resources.hypervisor_version, bound) for compare, bound in bounds)


def _number(version: str) -> int:
    """A version as libvirt and Nova count it: 7.2.22 is 7002022."""
    parts: Iterator[int] = (int(part or 0) for part in [*version.split("."), "0", "0"])
    return next(parts) * 1_000_000 + next(parts) * 1000 + next(parts)


_CHECKS: Final[Mapping[str, Callable[[str], Callable[[Host], bool]]]] = {
    "architecture": _architecture,
    "hypervisor type": _hypervisor,
    "vm mode": _vm_mode,
    "hypervisor version": _version,
}
