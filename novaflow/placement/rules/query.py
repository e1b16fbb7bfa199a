"""The rule that a user writes: the hint `query`, as `[">=", "$free_ram_mb", 1024]` (nova/scheduler/filters/json_filter.py).

Whoever may boot may write one, and every host is held against it: so its size and depth are bounded (`parsed`), it can do nothing but
compare, and a comparison of what cannot be compared is false.
"""

import operator
from collections.abc import Callable
from typing import Any, Final

import msgspec

from novaflow.errors import Invalid
from novaflow.hosts import Host
from novaflow.placement.asking import Ask, Refusal, Rule, refuse
from novaflow.placement.rules.kinds import fact

MOST_BYTES: Final = 4096
MOST_TERMS: Final = 64
MOST_DEPTH: Final = 8
_NAME: Final = "$"

_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_LOGIC: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "and": lambda terms: all(map(_holds, terms)),
    "or": lambda terms: any(map(_holds, terms)),
    "not": lambda terms: [not _holds(term) for term in terms],
    "in": lambda terms: len(terms) > 1 and terms[0] in terms[1:],
}


def parsed(text: str) -> list[Any]:
    """A query as it is to be held against hosts; raises Invalid when it is none, or too large."""
    if len(text) > MOST_BYTES:
        raise Invalid(reason=f"scheduler hint query: at most {MOST_BYTES} bytes")
    try:
        query = msgspec.json.decode(text, type=list[Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid(reason="scheduler hint query: it is not a list in JSON") from error
    if _checked(query, MOST_DEPTH) > MOST_TERMS:
        raise Invalid(reason=f"scheduler hint query: at most {MOST_TERMS} terms")
    return query


def json(ask: Ask) -> Rule | None:
    """What the user's query asks of the host holds."""
    text = ask.spec.hint("query")
    if not text:
        return None
    try:
        query = parsed(text)
    except Invalid:
        return lambda _host: refuse("the query cannot be read")

    def rule(host: Host) -> Refusal | None:
        return None if _holds(_value(query, host)) else refuse("the query does not hold")

    return rule


def _checked(term: Any, depth: int) -> int:
    """How many terms this is in all."""
    if not isinstance(term, list):
        if isinstance(term, dict):
            raise Invalid(reason="scheduler hint query: it has an object in it")
        return 1
    if depth == 0:
        raise Invalid(reason=f"scheduler hint query: at most {MOST_DEPTH} lists in one another")
    if not term or not isinstance(term[0], str) or term[0] not in (*_COMPARISONS, *_LOGIC):
        raise Invalid(reason=f"scheduler hint query: a list begins with one of {' '.join((*_COMPARISONS, *_LOGIC))}")
    return 1 + sum(_checked(part, depth - 1) for part in term[1:])


def _value(term: Any, host: Host) -> Any:
    if isinstance(term, list):
        terms = [_value(part, host) for part in term[1:]]
        return _LOGIC[term[0]](terms) if term[0] in _LOGIC else _compared(_COMPARISONS[term[0]], terms)
    if isinstance(term, str) and term.startswith(_NAME):
        return fact(host, term[1:].split("."))
    return term


def _compared(compare: Callable[[Any, Any], bool], terms: list[Any]) -> bool:
    """The first against each of the others."""
    try:
        return len(terms) > 1 and all(compare(terms[0], other) for other in terms[1:])
    except TypeError:
        return False


def _holds(value: Any) -> bool:
    """A list, which `not` gives, holds when one of it does."""
    return any(map(_holds, value)) if isinstance(value, list) else bool(value)
