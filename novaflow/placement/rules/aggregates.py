"""Rules that administrators make with the metadata of aggregates."""

from collections.abc import Iterator
from typing import Final

from novaflow.hosts import Host
from novaflow.models import Flavor
from novaflow.placement.asking import Ask, Refusal, Rule, refuse
from novaflow.placement.rules.extra_specs import matches, specs_of

_SCOPE: Final = "aggregate_instance_extra_specs"
_TENANT: Final = "filter_tenant_id"


def aggregate_specs(flavor: Flavor) -> tuple[tuple[str, str], ...]:
    """The extra specs that ask something of an aggregate: those of that scope, and those of no scope."""
    return specs_of(flavor, _SCOPE)


def aggregate_instance_extra_specs(ask: Ask) -> Rule | None:
    """For each of those specs, the host is in an aggregate whose metadata is what the spec asks."""
    specs = aggregate_specs(ask.spec.flavor)
    if not specs:
        return None

    def rule(host: Host) -> Refusal | None:
        for key, wanted in specs:
            if not any(matches(value, wanted) for value in _values(host, key)):
                return refuse("no aggregate of the host has {} {}", key, wanted)
        return None

    return rule


def aggregate_image_properties_isolation(ask: Ask) -> Rule | None:
    """An image property that the metadata of the host's aggregates names has one of the values given there."""
    image = ask.spec.image
    if image is None or not image.properties:
        return None
    properties = image.properties
    namespace = ask.settings.aggregate_image_properties_isolation_namespace
    start = namespace and namespace + ask.settings.aggregate_image_properties_isolation_separator

    def rule(host: Host) -> Refusal | None:
        for key in {key for aggregate in host.aggregates for key in aggregate.metadata}:
            has = properties.get(key)
            if has and key.startswith(start) and has not in _values(host, key):
                return refuse("its aggregate is for images with another {}", key)
        return None

    return rule


def aggregate_multitenancy_isolation(ask: Ask) -> Rule:
    """A host in aggregates that name projects (`filter_tenant_id`, also with a suffix) is for those projects alone."""
    mine = ask.spec.project_id

    def rule(host: Host) -> Refusal | None:
        projects = [
            project
            for aggregate in host.aggregates
            for key in aggregate.metadata
            if key.startswith(_TENANT)
            for project in _listed(aggregate.metadata[key])
        ]
        return refuse("its aggregate is for other projects") if projects and mine not in projects else None

    return rule


def aggregate_type_affinity(ask: Ask) -> Rule:
    """A host in aggregates that name flavors (`instance_type`) is for those flavors alone."""
    mine = ask.spec.flavor.name

    def rule(host: Host) -> Refusal | None:
        names = list(_values(host, "instance_type"))
        return refuse("its aggregate is for flavor {}", ", ".join(names)) if names and mine not in names else None

    return rule


def _values(host: Host, key: str) -> Iterator[str]:
    """What the host's aggregates say of this; a value may be several, with commas between."""
    for aggregate in host.aggregates:
        yield from _listed(aggregate.metadata.get(key, ""))


def _listed(text: str) -> Iterator[str]:
    return (part.strip() for part in text.split(",") if part.strip())
