"""Draw the diagrams of ARCHITECTURE.md again from the code: `python docs/draw.py`, or `--check` to tell whether they are fresh.

Each stands between a line `<!-- drawn: NAME -->` and the next `<!-- end -->`.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

import grimp

from novaflow.states import RULES, State

ARCHITECTURE: Final = Path(__file__).parents[1] / "ARCHITECTURE.md"
_BLOCK: Final = re.compile(r"(<!-- drawn: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def states() -> str:
    """The state chart, one arrow a rule; arrows with the same ends are one."""
    arrows: dict[tuple[State, State], list[str]] = defaultdict(list)
    for rule in RULES:
        arrows[rule.before, rule.after].append(rule.event.value)
    lines = ["```mermaid", "stateDiagram-v2"]
    seen = list(dict.fromkeys(state for pair in arrows for state in pair))
    lines += [f'    state "{state.vm} / {state.task or "none"}" as {_name(state)}' for state in seen]
    lines += [
        f"    {_name(before)} --> {_name(after)}: {', '.join(events)}" for (before, after), events in arrows.items()
    ]
    return "\n".join([*lines, "```", ""])


def _name(state: State) -> str:
    return f"{state.vm}_{state.task or 'none'}".replace("-", "_")


def imports() -> str:
    """Who imports whom, a box for each room."""
    graph = grimp.build_graph("novaflow", "services", "rpc")
    arrows: dict[tuple[str, str], int] = defaultdict(int)
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            ends = _room(importer), _room(imported)
            if ends[0] != ends[1]:
                arrows[ends] += 1
    lines = ["```mermaid", "flowchart TD"]
    for storey in ("services", "novaflow", "rpc"):
        rooms = sorted({room for ends in arrows for room in ends if room.split(".")[0] == storey})
        lines += [f"    subgraph {storey}", *(f"        {room.replace('.', '_')}[{room}]" for room in rooms), "    end"]
    lines += [f"    {a.replace('.', '_')} --> {b.replace('.', '_')}" for a, b in sorted(arrows)]
    return "\n".join([*lines, "```", ""])


_SHARED: Final = {"errors", "models", "states", "messages", "config", "clock"}
_SERVICES: Final = {"api", "identity", "image", "scheduler", "conductor", "compute", "cli", "private"}


def _room(module: str) -> str:
    """The room a module is in: rpc is one, the nouns that everybody uses are one, a service is one."""
    storey, *rest = module.split(".")
    if storey == "rpc" or not rest:
        return storey
    if storey == "novaflow":
        return "novaflow.nouns" if rest[0] in _SHARED else f"novaflow.{rest[0]}"
    return f"services.{rest[0]}" if rest[0] in _SERVICES else "services.shared"


DRAWINGS: Final = {"states": states, "imports": imports}


def drawn(text: str) -> str:
    """`text` with every drawing made anew."""
    return _BLOCK.sub(lambda block: block[1] + DRAWINGS[block[2]]() + block[3], text)


def main() -> int:
    """Draw, or check; the exit status is 1 when a check finds a stale drawing."""
    before = ARCHITECTURE.read_text()
    after = drawn(before)
    if "--check" in sys.argv:
        return int(before != after)
    ARCHITECTURE.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
