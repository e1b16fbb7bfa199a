"""What a flavor's extra spec may ask of a value: Nova's operators (nova/scheduler/filters/extra_specs_ops.py).

`= 4` asks for at least 4, `== 4`, `!= 4`, `>= 4`, `<= 4` compare numbers; `s== x`, `s!= x`, `s< x`, `s<= x`, `s> x`, `s>= x` compare
texts; `<in> x` asks that x is in the value, `<all-in> x y` that both are, `<or> x <or> y` that it is one of them.
Without an operator the value must be that text.
"""

import operator
from collections.abc import Callable, Collection
from typing import Any, Final

from novaflow.models import Flavor

_Compare = Callable[[Any, Any], bool]

_NUMBERS: Final[dict[str, _Compare]] = {
    "=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
}
_TEXTS: Final[dict[str, _Compare]] = {
    "s==": operator.eq,
    "s!=": operator.ne,
    "s<": operator.lt,
    "s<=": operator.le,
    "s>": operator.gt,
    "s>=": operator.ge,
}


def specs_of(flavor: Flavor, scope: str) -> tuple[tuple[str, str], ...]:
    """The extra specs of that scope, without it, and those of no scope, in order."""
    specs = []
    for key, wanted in flavor.extra_specs.items():
        found, colon, rest = key.partition(":")
        if not colon:
            specs.append((key, wanted))
        elif found == scope:
            specs.append((rest, wanted))
    return tuple(sorted(specs))


def matches(value: object, wanted: str) -> bool:
    """Whether `value`, a text, a number or a list of texts, is what the spec `wanted`."""
    name, *words = wanted.split() or [""]
    if name in _NUMBERS:
        return bool(words) and _compare_numbers(_NUMBERS[name], value, words[0])
    if name in _TEXTS:
        return bool(words) and _TEXTS[name](str(value), words[0])
    if name == "<or>":
        return str(value) in (word for word in words if word != "<or>")
    if name in ("<in>", "<all-in>"):
        parts: Collection[str] = value if isinstance(value, (list, tuple)) else str(value)
        sought = words[:1] if name == "<in>" else words
        return bool(sought) and all(word in parts for word in sought)
    return str(value) == wanted


def _compare_numbers(compare: _Compare, value: object, wanted: str) -> bool:
    try:
        return compare(float(str(value)), float(wanted))
    except ValueError:
        return False
