"""Files that their owner alone can read."""

import stat
from pathlib import Path

from services.private_files import write_private


def test_a_private_file_replaces_a_public_one_by_a_private_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)

    assert write_private(path, "new") == path

    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [path]
