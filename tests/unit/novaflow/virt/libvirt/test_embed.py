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


def test_only_a_guest_that_was_starting_without_a_process_is_forgotten(tmp_path: Path) -> None:
    state = tmp_path / "run" / "qemu"
    state.mkdir(parents=True)
    (state / "driver.pid").write_text("1")
    (state / "unborn.xml").write_text("<domstatus state='paused' reason='starting up' pid='0'>\n")
    (state / "running.xml").write_text("<domstatus state='running' reason='booted' pid='4711'>\n")

    embed.forget_unborn(tmp_path)

    assert sorted(path.name for path in state.iterdir()) == ["driver.pid", "running.xml"]


def test_a_root_that_libvirt_never_had_has_nothing_to_forget(tmp_path: Path) -> None:
    embed.forget_unborn(tmp_path)


def test_screens_of_two_roots_begin_at_ports_apart(tmp_path: Path) -> None:
    confs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with short_directory() as aliases:
            embed.prepare_root(tmp_path / name, aliases)
        conf = tmp_path / name / "libvirt" / "etc" / "qemu.conf"
        confs.append(conf.read_text() if conf.exists() else name)  # only root's libvirt reads one

    assert confs[0] != confs[1]
