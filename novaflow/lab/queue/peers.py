"""The peers: every other way to send messages over RabbitMQ from Python, each in a virtual environment of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from novaflow.lab.queue.virtual_environments import ProgramFailed, python_with

CONTESTANTS: Final = Path(__file__).parent / "contestants"
DEFAULT_CACHE: Final = Path("~/.cache/novaflow/peers")

_ALL_PATTERNS: Final = frozenset({"call", "cast", "fanout"})
_CALL_AND_CAST: Final = frozenset({"call", "cast"})
_CAST: Final = frozenset({"cast"})
_ALL_DURABILITIES: Final = frozenset({"transient", "durable", "quorum"})
_CLASSIC: Final = frozenset({"transient", "durable"})
# Warnings of a peer about its own parts; they cost time and say nothing about the run.
_QUIET: Final = {"PYTHONWARNINGS": "ignore"}


class NotAvailable(Exception):
    """A contestant cannot be had on this machine; says why, and what would help."""


@dataclass(frozen=True)
class Contestant:
    """A program that takes part: its command before the arguments that `contestants/protocol.py` describes."""

    name: str
    command: tuple[str, ...]
    patterns: frozenset[str]
    durabilities: frozenset[str]
    environment: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A library and what it can do. What it needs is pinned in `contestants/requirements/<name>.txt`."""

    script: str
    patterns: frozenset[str]
    durabilities: frozenset[str] = _ALL_DURABILITIES
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The script."""
        return CONTESTANTS / self.script


CATALOGUE: Final[Mapping[str, Peer]] = {
    "aio-pika": Peer(script="peer_aio_pika.py", patterns=_ALL_PATTERNS),
    "aio-pika-tuned": Peer(script="peer_aio_pika.py", patterns=_ALL_PATTERNS, environment={"CONTESTANT_TUNED": "1"}),
    "aio-pika.patterns": Peer(script="peer_aio_pika_patterns.py", patterns=_CALL_AND_CAST),
    "aiormq": Peer(script="peer_aiormq.py", patterns=_ALL_PATTERNS),
    "amqp-rs": Peer(script="peer_amqp_rs.py", patterns=_CALL_AND_CAST, durabilities=frozenset({"transient"})),
    "pika": Peer(script="peer_pika.py", patterns=_ALL_PATTERNS),
    "oslo.messaging": Peer(script="peer_oslo_messaging.py", patterns=_ALL_PATTERNS),
    "faststream": Peer(script="peer_faststream.py", patterns=_ALL_PATTERNS),
    "nameko": Peer(script="peer_nameko.py", patterns=_ALL_PATTERNS, durabilities=_CLASSIC),
    "celery": Peer(script="peer_celery.py", patterns=_CALL_AND_CAST),
    "taskiq": Peer(script="peer_taskiq.py", patterns=_CAST),
    "dramatiq": Peer(script="peer_dramatiq.py", patterns=_CAST, durabilities=frozenset({"durable"})),
}
PEERS: Final[tuple[str, ...]] = tuple(CATALOGUE)


def requirements_of(name: str) -> Path:
    """The requirements file of a peer."""
    return CONTESTANTS / "requirements" / f"{name}.txt"


async def prepare(name: str, cache: Path, tell: Callable[[str], None]) -> Contestant:
    """The peer of this name, installed below `cache` if it is not there yet; `tell` hears what takes time.

    Raises NotAvailable for an unknown name, and if the installation fails.
    """
    peer = CATALOGUE.get(name)
    if peer is None:
        raise NotAvailable(f"no peer is called {name}; there are {', '.join(PEERS)}")
    try:
        python = await python_with(cache.expanduser(), name, requirements_of(name), tell)
    except (ProgramFailed, OSError) as error:
        raise NotAvailable(f"{name} cannot be installed: {error}") from error
    return Contestant(
        name=name,
        command=(str(python), str(peer.path)),
        patterns=peer.patterns,
        durabilities=peer.durabilities,
        environment={**_QUIET, **peer.environment},
    )
