"""The decision: one host out of many, or why none."""

import random
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from novaflow.config import Scheduler
from novaflow.errors import NoValidHost
from novaflow.models import Fault, Host, RequestSpec
from novaflow.placement.filters import Ask, Filter, named, retry, up
from novaflow.placement.weighers import weight

FAULT_CODE: Final = 500  # what Nova records for NoValidHost
MESSAGE_LENGTH: Final = 255  # of a fault's message, as Nova's column has it
DETAILS_LENGTH: Final = 16384
_NOBODY: Final[Mapping[str, str]] = MappingProxyType({})
_NOTHING_PROMISED: Final[Mapping[str, int]] = MappingProxyType({})


def choose(
    hosts: Sequence[Host],
    spec: RequestSpec,
    tried: Collection[str] = (),
    settings: Scheduler | None = None,
    *,
    refused: Mapping[str, str] = _NOBODY,
    promised: Mapping[str, int] = _NOTHING_PROMISED,
    dice: random.Random | None = None,
) -> Host:
    """The best host that every filter accepts; raises NoValidHost with the reason of each that was refused.

    `refused` are hosts that did not take the server when they were asked, with what they said; a filter that
    knows better has the word. Equally good hosts are drawn with `dice`, or taken by name when there are none.
    `promised` is explained at novaflow.placement.weighers.weight.
    """
    ask = Ask(spec=spec, tried=frozenset(tried), settings=settings or Scheduler())
    rules = named(ask.settings.filters)
    if spec.force_host:
        hosts, rules = _forced(hosts, spec.force_host)
    fitting, refusals = [], {}
    for host in hosts:
        refusal = _refusal(host, ask, rules) or refused.get(host.name)
        if refusal is None:
            fitting.append((weight(host, ask.settings, promised), host))
        else:
            refusals[host.name] = refusal
    if not fitting:
        raise NoValidHost(refusals=refusals)
    best = max(score for score, _ in fitting)
    equals = sorted((host for score, host in fitting if score == best), key=lambda host: host.name)
    return dice.choice(equals) if dice else equals[0]


def fault_of(error: NoValidHost, last_failure: str = "") -> Fault:
    """What the server shows when it fits nowhere: Nova's sentence, why the last host that tried failed, then host by host why."""
    reasons = "; ".join(f"{host}: {why}" for host, why in sorted(error.refusals.items()))
    tried = f"The last attempt failed: {last_failure.rstrip('.')}. " if last_failure else ""
    why = reasons or "There is no host at all."
    told = f"No valid host was found. There are not enough hosts available. {tried}{why}"
    return Fault(code=FAULT_CODE, message=_shortened(told, MESSAGE_LENGTH), details=_shortened(reasons, DETAILS_LENGTH))


def _refusal(host: Host, ask: Ask, rules: Sequence[tuple[str, Filter]]) -> str | None:
    for name, rule in rules:
        if why := rule(host, ask):
            return f"{name}: {why}"
    return None


def _forced(hosts: Sequence[Host], name: str) -> tuple[list[Host], list[tuple[str, Filter]]]:
    """The one host an administrator named. It may be full or disabled, as in Nova, but it must be there and not have failed."""
    found = [host for host in hosts if host.name == name]
    if not found:
        raise NoValidHost(refusals={name: "force_host: there is no such host"})
    return found, [("retry", retry), ("compute", up)]


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 4]} ..."
