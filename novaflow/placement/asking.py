"""What is asked of hosts, and the shape of whatever answers: the words of the scheduler.

A `Filter` is told the ask once and gives the `Rule` that every host is then held against, or None when the ask is none of its
business: so an ask without hints, extra specs or image properties costs nothing for the filters that read those.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from novaflow.config import Scheduler
from novaflow.hosts import Host
from novaflow.models import RequestSpec

Refusal = tuple[str, tuple[object, ...]]
"""Why a host does not pass: a text and what to put into it. It is said (`said`) only when somebody wants to hear it."""

Rule = Callable[[Host], Refusal | None]
"""Whether this host passes; None: it does."""


class Group(NamedTuple):
    """The server group of an ask. `servers` are how many others of the group each host has, by host name."""

    policy: str
    servers: Mapping[str, int]
    max_server_per_host: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One question to the hosts: who may have this server?

    `tried` are the hosts that failed it already, `refused` those that did not take it when they were asked a moment ago, with
    what they said. `homes` are the hosts of the servers that its hints name, by server id.
    """

    spec: RequestSpec
    tried: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)
    group: Group | None = None
    homes: Mapping[str, str] = field(default_factory=dict)
    settings: Scheduler = field(default_factory=Scheduler)


@dataclass(frozen=True, slots=True)
class Filter:
    """A named rule of placement.

    `depends` tells what of the ask the answer depends on besides the host; two asks alike in that get the same answer of the same
    host, which may then be remembered. None: it depends on more, and is asked anew every time.
    """

    name: str
    rule: Callable[[Ask], Rule | None]
    depends: Callable[[Ask], Hashable] | None = None


def refuse(text: str, *values: object) -> Refusal:
    """A refusal with these values in its text."""
    return text, values


def said(name: str, refusal: Refusal) -> str:
    """A refusal in words, after the name of the filter that said it, if it has one."""
    text, values = refusal
    words = text.format(*values)
    return f"{name}: {words}" if name else words
