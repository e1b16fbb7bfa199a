"""The decision: one host out of many, or why none."""

import dataclasses
import random
from collections.abc import Hashable, Iterator
from typing import Final

import msgspec

from novaflow.errors import NoValidHost
from novaflow.hosts import Host
from novaflow.models import Fault
from novaflow.placement.asking import Ask, Filter, Rule, said
from novaflow.placement.filters import ALWAYS, FORCED, LAST, named
from novaflow.placement.ranking import FITS, REFUSED, UNKNOWN, Ranking
from novaflow.placement.weighers import draw

FAULT_CODE: Final = 500  # what Nova records for NoValidHost
MESSAGE_LENGTH: Final = 255  # of a fault's message, as Nova's column has it
DETAILS_LENGTH: Final = 16384
MOST_TOLD: Final = 200  # hosts whose reasons are told one by one; the others are counted by filter


def choose(ranking: Ranking, ask: Ask, dice: random.Random | None = None) -> Host:
    """The best host that every filter accepts; raises NoValidHost with the reasons.

    With `dice` one of the `scheduler.host_subset_size` best is drawn. A host that refused (`ask.refused`) is told with what it said,
    unless a filter knows better.
    """
    if ask.spec.force_host:
        return _forced(ranking, ask)
    best: list[Host] = []
    for host in fitting(ranking, ask):
        best.append(host)
        if dice is None or len(best) >= ask.settings.host_subset_size:
            break
    if not best:
        raise NoValidHost(refusals=reasons(ranking, ask))
    return dice.choice(best) if dice and len(best) > 1 else best[0]


def choose_several(ranking: Ranking, ask: Ask, count: int, dice: random.Random | None = None) -> list[Host]:
    """A host per server, in order; raises NoValidHost for the first one that fits nowhere: there is room for all or for none.

    As in Nova (nova/scheduler/manager.py, `_consume_selected_host`), a chosen host counts as fuller for the next. The ranking is
    afterwards as it was.
    """
    chosen: list[Host] = []
    try:
        for _ in range(count):
            host = choose(ranking, ask, dice)
            chosen.append(host)
            ranking.put(_with(host, ask))
            ask = _joined(ask, host.name)
    finally:
        # The first state of each comes last.
        for host in reversed(chosen):
            ranking.put(host)
    return chosen


def fitting(ranking: Ranking, ask: Ask) -> Iterator[Host]:
    """The hosts that every filter accepts, best first. The ranking must not change meanwhile."""
    kind, steady, momentary = _sorted_rules(ask)
    answers = ranking.answers(kind)
    for _, _, _, number, host in ranking.walk(draw(ask.group, ask.settings)):
        answer = answers[number]
        if answer == UNKNOWN:
            answer = answers[number] = REFUSED if any(rule(host) for rule in steady) else FITS
        if answer == FITS and not any(rule(host) for rule in momentary):
            yield host


def reasons(ranking: Ranking, ask: Ask) -> dict[str, str]:
    """Why each host that does not pass does not, by name; of more than MOST_TOLD, the others are counted by filter."""
    filters = [*ALWAYS, *named(ask.settings.filters), *LAST]
    rules = [(one.name, rule) for one in filters if (rule := one.rule(ask)) is not None]
    told: dict[str, str] = {}
    counts: dict[str, int] = {}
    for host in sorted(ranking, key=lambda host: host.name):
        found = next(((name, why) for name, rule in rules if (why := rule(host))), None)
        if found is None:
            continue
        if len(told) < MOST_TOLD:
            told[host.name] = said(*found)
        else:
            counts[found[0]] = counts.get(found[0], 0) + 1
    if counts:
        told[f"{sum(counts.values())} more"] = ", ".join(f"{name} {count}" for name, count in counts.items())
    return told


def fault_of(error: NoValidHost, last_failure: str = "") -> Fault:
    """What the server shows when it fits nowhere: Nova's sentence, why the last host that tried failed, then host by host why."""
    reasons = "; ".join(f"{host}: {why}" for host, why in error.refusals.items())
    tried = f"The last attempt failed: {last_failure.rstrip('.')}. " if last_failure else ""
    why = reasons or "There is no host at all."
    told = f"No valid host was found. There are not enough hosts available. {tried}{why}"
    return Fault(code=FAULT_CODE, message=_shortened(told, MESSAGE_LENGTH), details=_shortened(reasons, DETAILS_LENGTH))


def _sorted_rules(ask: Ask) -> tuple[Hashable, list[Rule], list[Rule]]:
    """The kind of ask, the rules whose answers can be remembered for it, and the rules whose answers cannot."""
    kind: list[Hashable] = []
    steady: list[Rule] = []
    momentary: list[Rule] = []
    for one in (*ALWAYS, *named(ask.settings.filters), *LAST):
        rule = one.rule(ask)
        if rule is None:
            continue
        if one.depends is None:
            momentary.append(rule)
        else:
            kind.append((one.name, one.depends(ask)))
            steady.append(rule)
    return tuple(kind), steady, momentary


def _forced(ranking: Ranking, ask: Ask) -> Host:
    """The one host an administrator named. It may be full or disabled, as in Nova, but it must be there and not have failed."""
    name = ask.spec.force_host
    host = ranking.get(name)
    if host is None:
        raise NoValidHost(refusals={name: "force_host: there is no such host"})
    why = _first_refusal(host, ask, (*ALWAYS, *FORCED, *LAST))
    if why is not None:
        raise NoValidHost(refusals={name: why})
    return host


def _first_refusal(host: Host, ask: Ask, filters: tuple[Filter, ...]) -> str | None:
    for one in filters:
        rule = one.rule(ask)
        if rule is not None and (why := rule(host)):
            return said(one.name, why)
    return None


def _with(host: Host, ask: Ask) -> Host:
    """The host with one more such server on it."""
    flavor = ask.spec.flavor
    return msgspec.structs.replace(
        host,
        vcpus_used=host.vcpus_used + flavor.vcpus,
        ram_mb_used=host.ram_mb_used + flavor.ram_mb,
        disk_gb_used=host.disk_gb_used + flavor.claimed_disk_gb,
        servers=host.servers + 1,
    )


def _joined(ask: Ask, host: str) -> Ask:
    """The ask of the next server of its group, now that one is on `host`."""
    if ask.group is None:
        return ask
    servers = {**ask.group.servers, host: ask.group.servers.get(host, 0) + 1}
    return dataclasses.replace(ask, group=ask.group._replace(servers=servers))


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 4]} ..."
