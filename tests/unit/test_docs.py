"""The drawings of the documentation are those of the code."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_drawing_is_stale() -> None:
    checked = subprocess.run(
        [sys.executable, ROOT / "docs" / "draw.py", "--check"], capture_output=True, text=True, timeout=60, check=False
    )

    assert checked.stderr == ""
    assert checked.returncode == 0
