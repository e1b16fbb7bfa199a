import os
from pathlib import Path

import pytest

from novaflow.virt.libvirt import embed
from tests.support.libvirt import need_libvirt, short_directory


@pytest.fixture(autouse=True)
def _libvirt() -> None:
    need_libvirt()


def test_a_short_root_is_used_as_it_is() -> None:
    with short_directory() as directory:
        root = embed.prepare_root(directory)

        assert root == directory / "libvirt"
        assert (root / "etc/qemu.conf").exists() == (os.geteuid() == 0)


def test_a_long_root_is_reached_by_a_short_link_that_is_always_the_same(tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 20)
    with short_directory() as aliases:
        root = embed.prepare_root(directory, aliases)

        assert len(str(root)) <= embed.LONGEST_ROOT
        assert root.resolve() == directory / "libvirt"
        assert embed.prepare_root(directory, aliases) == root


def test_a_link_that_points_elsewhere_is_not_followed(tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 20)
    with short_directory() as aliases:
        link = embed.prepare_root(directory, aliases)
        link.unlink()
        link.symlink_to(tmp_path)

        with pytest.raises(embed.CannotEmbed, match="not our link"):
            embed.prepare_root(directory, aliases)


def test_root_without_libvirts_user_is_told_how_to_make_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(embed, "QEMU_USER", "nobody-has-this-name")

    with pytest.raises(embed.CannotEmbed, match="useradd"):
        embed.check_user()
