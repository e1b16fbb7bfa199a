"""Draw the diagrams of the documentation again from the code: `python docs/draw.py`, or `--check` to tell whether they are fresh.

Those of ARCHITECTURE.md each stand between a line `<!-- drawn: NAME -->` and the next `<!-- end -->`; docs/states.svg is the life of a server.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

import grimp
import state_chart

ARCHITECTURE: Final = Path(__file__).parents[1] / "ARCHITECTURE.md"
STATES: Final = Path(__file__).with_name("states.svg")
_BLOCK: Final = re.compile(r"(<!-- drawn: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


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


_SHARED: Final = {"errors", "models", "states", "volumes", "messages", "config", "clock"}
_SERVICES: Final = {"api", "identity", "image", "scheduler", "conductor", "compute", "cli", "private"}


def _room(module: str) -> str:
    """The room a module is in: rpc is one, the nouns that everybody uses are one, a service is one."""
    storey, *rest = module.split(".")
    if storey == "rpc" or not rest:
        return storey
    if storey == "novaflow":
        return "novaflow.nouns" if rest[0] in _SHARED else f"novaflow.{rest[0]}"
    return f"services.{rest[0]}" if rest[0] in _SERVICES else "services.shared"


DRAWINGS: Final = {"imports": imports}


def drawn(text: str) -> str:
    """`text` with every drawing made anew."""
    return _BLOCK.sub(lambda block: block[1] + DRAWINGS[block[2]]() + block[3], text)


def main() -> int:
    """Draw, or check; the exit status is 1 when a check finds a stale drawing."""
    fresh = {ARCHITECTURE: drawn(ARCHITECTURE.read_text()), STATES: state_chart.svg()}
    stale = [path for path, text in fresh.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        sys.stderr.writelines(f"{path.name} is stale: run `make docs`\n" for path in stale)
        return int(bool(stale))
    for path in stale:
        path.write_text(fresh[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
