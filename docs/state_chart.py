"""The chart of a server's life, docs/states.svg, drawn from novaflow.states: one line for every way an action can go.

A line reads from left to right: from these vm_states, by this action, through these task_states, to this vm_state. Failures are not
lines: `failed` leads back to where the action began, `broken` and a failed build to error, delete takes over from everything.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from novaflow.states import ACTIONS, ENDINGS, RULES, SCHEDULING, Event, State, Task, Vm

_NOT_DRAWN: Final = {
    Event.FAILED,
    Event.BROKEN,
    Event.BUILD_FAILED,
    Event.RESCHEDULED,
    Event.RESET_TO_ACTIVE,
    Event.RESET_TO_ERROR,
    Event.DELETE_ORDERED,
    Event.LIVE_MIGRATION_CANCELLED,
}
_COLOURS: Final = {
    Vm.BUILDING: "#8d99ae",
    Vm.ACTIVE: "#2a9d5c",
    Vm.PAUSED: "#b38600",
    Vm.SUSPENDED: "#a35200",
    Vm.STOPPED: "#5f6c7b",
    Vm.RESCUED: "#7d4fc4",
    Vm.RESIZED: "#1f78b4",
    Vm.SOFT_DELETED: "#9c3f5d",
    Vm.DELETED: "#3a3a3a",
    Vm.ERROR: "#c62828",
    Vm.SHELVED: "#00838f",
    Vm.SHELVED_OFFLOADED: "#00565e",
}
_WIDE, _HIGH, _GAP, _LETTER, _ROW, _MARGIN = 1560, 20, 6, 6.6, 30, 24
_NAMES_AT, _BEFORES_AT, _TASKS_AT = _MARGIN, 150, 620


@dataclass(frozen=True)
class Way:
    """One way an action can go."""

    action: str
    tasks: tuple[Task, ...]
    after: Vm | None  # None: what it was before


def ways() -> dict[Way, list[Vm]]:
    """Every way, with the vm_states it can begin in; in the order of the table."""
    ends: dict[tuple[str, tuple[Task, ...]], list[tuple[Vm, Vm]]] = defaultdict(list)
    for event in ACTIONS:
        for rule in RULES:
            if rule.event is event and rule.before.task is Task.IDLE:
                for tasks, after in _walks(rule.after, (rule.after.task,)):
                    ends[_name(event), tasks].append((rule.before.vm, after))
    found: dict[Way, list[Vm]] = {
        Way("create", tasks, after): [] for tasks, after in _walks(SCHEDULING, (SCHEDULING.task,))
    }
    for (name, tasks), pairs in ends.items():
        stays = len(pairs) > 1 and all(before is after for before, after in pairs)
        for before, after in dict.fromkeys(pairs):
            found.setdefault(Way(name, tasks, None if stays else after), []).append(before)
    return found


def _name(event: Event) -> str:
    special = {
        Event.HARD_REBOOT_ORDERED: "reboot (hard)",
        Event.SOFT_DELETE_ORDERED: "delete (soft)",
        Event.FORCE_STOP_ORDERED: "(guest is off)",
    }
    return special.get(event, ACTIONS[event].name)


def _walks(
    state: State, tasks: tuple[Task, ...], seen: tuple[State, ...] = ()
) -> Iterator[tuple[tuple[Task, ...], Vm]]:
    """Every way that reports lead from `state` to where nothing is being done."""
    if state.task is Task.IDLE and state.vm is not Vm.BUILDING:
        yield tuple(task for task in tasks if task is not Task.IDLE), state.vm
        return
    for rule in RULES:
        is_way = rule.event not in _NOT_DRAWN and rule.event not in ACTIONS
        if rule.before == state and is_way and rule.after not in (*seen, state):
            is_over = rule.event in ENDINGS
            yield from _walks(rule.after, tasks if is_over else (*tasks, rule.after.task), (*seen, state))


def svg() -> str:
    """The picture."""
    lines = list(ways().items())
    height = _MARGIN * 2 + 40 + _ROW * len(lines)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDE}" height="{height}" viewBox="0 0 {_WIDE} {height}" '
            'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="11">'
        ),
        "<title>The life of a server</title>",
        f'<rect width="{_WIDE}" height="{height}" fill="#ffffff"/>',
        *(
            f'<text x="{x}" y="{_MARGIN + 12}" fill="#555" font-size="12">{text}</text>'
            for x, text in (
                (_NAMES_AT, "action"),
                (_BEFORES_AT, "from vm_state"),
                (_TASKS_AT, "task_states, and the vm_state then"),
            )
        ),
    ]
    previous = ""
    for number, (way, befores) in enumerate(lines):
        y = _MARGIN + 30 + _ROW * number
        parts += _line(way, befores, y, is_named=way.action != previous)
        previous = way.action
    return "\n".join([*parts, "</svg>", ""])


def _line(way: Way, befores: list[Vm], y: int, *, is_named: bool) -> Iterator[str]:
    if is_named:
        yield f'<line x1="{_MARGIN}" x2="{_WIDE - _MARGIN}" y1="{y - 5}" y2="{y - 5}" stroke="#e4e4e4"/>'
        yield f'<text x="{_NAMES_AT}" y="{y + 14}" font-weight="bold">{escape(way.action)}</text>'
    x = float(_BEFORES_AT)
    if len(befores) > 7:
        yield f'<text x="{x}" y="{y + 14}" fill="#555">any but deleted</text>'
    else:
        for vm in befores:
            drawn, x = _chip(vm, x, y, _COLOURS[vm], "#ffffff")
            yield drawn
    x = float(_TASKS_AT)
    for task in way.tasks:
        drawn, x = _chip(task, x, y, "#eef1f5", "#222222")
        yield drawn
        yield f'<text x="{x - 2}" y="{y + 14}" fill="#888">&#8594;</text>'
        x += 12
    if way.after is None:
        yield f'<text x="{x}" y="{y + 14}" fill="#555">as before</text>'
    else:
        yield _chip(way.after, x, y, _COLOURS[way.after], "#ffffff")[0]


def _chip(text: str, x: float, y: int, fill: str, ink: str) -> tuple[str, float]:
    """A rounded box with a word in it, and where the next one begins."""
    width = round(len(text) * _LETTER + 12, 1)
    box = f'<rect x="{x:.1f}" y="{y}" width="{width}" height="{_HIGH}" rx="5" fill="{fill}"/>'
    return f'{box}<text x="{x + 6:.1f}" y="{y + 14}" fill="{ink}">{escape(text)}</text>', x + width + _GAP
