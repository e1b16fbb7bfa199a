"""A contestant without a broker, which does to the boards what it is told to do: for tests of the driver."""

import sys
from pathlib import Path

from novaflow.lab.queue.peers import Contestant

EVERYTHING = frozenset({"transient", "durable", "quorum"})
SCRIPT = Path(__file__).with_name("contestant_script.py")


def scripted(name: str, behaviour: str = "well", **more: frozenset[str]) -> Contestant:
    """One that behaves `well`, `loses`, `doubles`, `refuses`, `breaks`, `mumbles` or `never starts`."""
    return Contestant(
        name=name,
        command=(sys.executable, str(SCRIPT)),
        patterns=more.get("patterns", frozenset({"call", "cast", "fanout"})),
        durabilities=more.get("durabilities", EVERYTHING),
        environment={"BEHAVIOUR": behaviour},
    )
