import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_drawings_in_architecture_md_are_fresh() -> None:
    check = subprocess.run([sys.executable, ROOT / "docs" / "draw.py", "--check"], check=False, timeout=60)

    assert check.returncode == 0, "run `make docs`"
