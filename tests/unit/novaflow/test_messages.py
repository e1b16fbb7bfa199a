"""The procedures on the bus: one name each, and versions that belong to their topics."""

import pytest

from novaflow import messages
from rpc.procedure import Target

PROCEDURES = [value for value in vars(messages).values() if isinstance(value, Target)]
MAJORS = {messages.COMPUTE: 6, messages.SCHEDULER: 4, messages.CONDUCTOR: 1}
"""Nova's for compute and scheduler, as nova/compute/rpcapi.py and nova/scheduler/rpcapi.py have them; ours for the conductor."""


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda procedure: procedure.name)
def test_a_procedures_version_has_the_major_of_its_topic(procedure: Target) -> None:
    major, minor = (int(part) for part in procedure.version.split("."))

    assert major == MAJORS[procedure.topic]
    assert minor >= 0


def test_no_two_procedures_share_a_name() -> None:
    names = [procedure.name for procedure in PROCEDURES]

    assert len(names) == len(set(names)) > 10
