"""Every action of the API by its name. What is not here is unknown to clients."""

from collections.abc import Sequence
from typing import Final, Protocol

from services.api.ec2 import (
    account,
    addresses,
    image_attributes,
    image_registration,
    images,
    instance_changes,
    instance_facts,
    instance_orders,
    instances,
    key_pairs,
    regions,
    run_instances,
    security_groups,
    security_rules,
    snapshots,
    tags,
    volumes,
)
from services.api.ec2.frame import Action


class Actions(Protocol):
    """A module of this package that has actions."""

    @property
    def ACTIONS(self) -> Sequence[Action]:  # noqa: N802 - a module's constant
        """Its actions."""
        ...


MODULES: Final[Sequence[Actions]] = (
    account,
    instance_changes,
    instance_facts,
    instance_orders,
    instances,
    regions,
    run_instances,
    tags,
    key_pairs,
    security_groups,
    security_rules,
    addresses,
    images,
    image_attributes,
    image_registration,
    volumes,
    snapshots,
)
ACTIONS: Final = {action.name: action for module in MODULES for action in module.ACTIONS}
