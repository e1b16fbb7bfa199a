"""Hosts kept in order, best first, with what the filters said of them: a decision begins at the best and ends at the first that fits.

Nothing is asked twice that cannot have changed. An answer that hangs on the host and on a few facts of the ask (`Filter.depends`) is
remembered for all asks alike in those, one byte per host, until the host changes. So a change costs a place in the order and a byte
per kind of ask, and a decision costs the hosts it looks at, most of them a byte (decision 12).
"""

import heapq
import random
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Final

from novaflow.config import Scheduler
from novaflow.hosts import Host
from novaflow.placement.weighers import Biggest, weight

UNKNOWN: Final = 0
FITS: Final = 1
REFUSED: Final = 2
KINDS: Final = 256  # of asks whose answers are kept, those asked last; a byte per host and kind
_FEW: Final = 8  # less than one in so many: each is put in its place; more: all are sorted

Place = tuple[float, float, str, int, Host]
"""Where a host stands: its weight (negated, so that the best is the least), a lot among equals, its name, its number, itself."""


class Ranking:
    """The hosts in the order of their weight. Equals stand in an order drawn with `dice`, or by name when there are none.

    Whoever asks of them asks with these `settings`.
    """

    def __init__(self, settings: Scheduler, hosts: Iterable[Host] = (), dice: random.Random | None = None) -> None:
        self.settings = settings
        self._dice = dice
        self._order: list[Place] = []
        self._places: dict[str, Place] = {}
        self._promised: dict[str, int] = {}
        self.biggest = Biggest()
        self._answers: OrderedDict[Hashable, bytearray] = OrderedDict()
        self._numbers = 0
        self._free_numbers: list[int] = []
        self.replace(hosts)

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Host]:
        return (place[4] for place in self._order)

    def get(self, name: str) -> Host | None:
        """The host of this name."""
        place = self._places.get(name)
        return place and place[4]

    def replace(self, hosts: Iterable[Host]) -> None:
        """These and no others are the hosts now."""
        now = {host.name: host for host in hosts}
        for name in [name for name in self._places if name not in now]:
            self.drop(name)
        changed = [host for host in now.values() if self.get(host.name) != host]
        biggest = Biggest()
        for host in now.values():
            biggest = biggest.or_bigger(host)
        if biggest == self.biggest and len(changed) * _FEW < len(now):
            for host in changed:
                self.put(host)
            return
        self.biggest = biggest
        for host in changed:
            self._places[host.name] = self._place(host)
        self._sort()

    def put(self, host: Host) -> None:
        """A host is new, or has changed."""
        biggest = self.biggest.or_bigger(host)
        before = self._places.get(host.name)
        if before is not None:
            del self._order[bisect_left(self._order, before)]
        self._places[host.name] = place = self._place(host)
        if biggest is self.biggest:
            insort(self._order, place)
        else:
            self.biggest = biggest
            self._sort()

    def drop(self, name: str) -> None:
        """A host is gone."""
        place = self._places.pop(name, None)
        if place is not None:
            del self._order[bisect_left(self._order, place)]
            self._free_numbers.append(place[3])

    def promise(self, name: str, ram_mb: int) -> None:
        """Weigh a host as if so much more (or, negative, less) of its memory were taken. No filter sees it."""
        self._promised[name] = self._promised.get(name, 0) + ram_mb
        if not self._promised[name]:
            del self._promised[name]
        if name in self._places:
            self.put(self._places[name][4])

    def answers(self, kind: Hashable) -> bytearray:
        """What is known of each host, by its number, for asks of this kind: UNKNOWN, FITS or REFUSED."""
        found = self._answers.get(kind)
        if found is None:
            found = self._answers[kind] = bytearray(self._numbers)
            if len(self._answers) > KINDS:
                self._answers.popitem(last=False)
        self._answers.move_to_end(kind)
        return found

    def walk(self, drawn: Mapping[str, float]) -> Iterable[Place]:
        """Best first, where `drawn` is added to the weight of some, by name. Nothing may change meanwhile."""
        if not drawn:
            return self._order
        moved = [self._places[name] for name in drawn if name in self._places]
        there = sorted((place[0] - drawn[place[2]], *place[1:]) for place in moved)
        return heapq.merge((place for place in self._order if place[2] not in drawn), there)

    def _place(self, host: Host) -> Place:
        """Where it belongs, with a lot drawn anew; what was known of it is forgotten."""
        before = self._places.get(host.name)
        number = before[3] if before is not None else self._number()
        for known in self._answers.values():
            known[number] = UNKNOWN
        wanted = weight(host, self.settings, self.biggest, self._promised.get(host.name, 0))
        return -wanted, self._dice.random() if self._dice else 0.0, host.name, number, host

    def _number(self) -> int:
        if self._free_numbers:
            return self._free_numbers.pop()
        for known in self._answers.values():
            known.append(UNKNOWN)
        self._numbers += 1
        return self._numbers - 1

    def _sort(self) -> None:
        """Weigh all of them again: the biggest host has changed, or many have."""
        for name, (_, lot, _, number, host) in self._places.items():
            wanted = weight(host, self.settings, self.biggest, self._promised.get(name, 0))
            self._places[name] = (-wanted, lot, name, number, host)
        self._order = sorted(self._places.values())
