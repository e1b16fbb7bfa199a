"""A private libvirtd: reachable, apart from every other libvirt, and gone with its owner, guests included."""

import asyncio
import os
import signal
import sys
import textwrap
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import libvirt
import pytest

from novaflow.virt.libvirt.connection import release, share
from novaflow.virt.libvirt.embed import shortened
from services.private.libvirtd import LONGEST_ROOT, LibvirtdFailed, PrivateLibvirtd
from services.private.libvirtds import PrivateLibvirtds
from tests.support.libvirtd import need_libvirtd

SECONDS = 60.0
DOMAIN = """\
<domain type='qemu'><name>guest</name><memory unit='MiB'>16</memory><os><type machine='pc'>hvm</type></os>
<devices><graphics type='vnc' autoport='yes'/><emulator>/usr/bin/qemu-system-x86_64</emulator></devices></domain>"""


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[PrivateLibvirtd]:
    need_libvirtd()
    async with PrivateLibvirtd(tmp_path / "a") as started:
        yield started


def run_guest(link: libvirt.virConnect) -> None:
    link.createXML(DOMAIN)


def names(link: libvirt.virConnect) -> list[str]:
    return [domain.name() for domain in link.listAllDomains()]


def guest_process(root: Path) -> int:
    return int((root / "run/libvirt/qemu/run/guest.pid").read_text())


async def ends(pid: int) -> None:
    """Wait until a process is gone."""
    async with asyncio.timeout(SECONDS):
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.02)


async def test_it_is_reached_by_a_short_path_wherever_it_is(daemon: PrivateLibvirtd, tmp_path: Path) -> None:
    socket = daemon.uri.partition("socket=")[2]

    assert len(socket) < 108
    assert Path(socket).resolve().is_relative_to(tmp_path)
    connection = share(daemon.uri)
    assert await connection.run(names) == []
    await release(connection)


async def test_two_are_two_hosts(daemon: PrivateLibvirtd, tmp_path: Path) -> None:
    first = share(daemon.uri)
    async with PrivateLibvirtd(tmp_path / "b") as other:
        second = share(other.uri)
        await first.run(run_guest)

        assert await second.run(names) == []
        hosts = {
            await each.run(lambda link: link.getCapabilities().split("<uuid>")[1][:36]) for each in (first, second)
        }
        assert len(hosts) == 2
        assert all(uuid.UUID(host) for host in hosts)
        await release(second)
    await release(first)


async def test_its_guests_outlive_its_crash_and_are_found_again(daemon: PrivateLibvirtd, tmp_path: Path) -> None:
    connection = share(daemon.uri)
    await connection.run(run_guest)
    guest = guest_process(tmp_path / "a")

    await daemon.kill9()
    assert daemon.pid is None
    os.kill(guest, 0)  # QEMU is alive
    await daemon.start()

    assert await connection.run(names) == ["guest"]
    await release(connection)


async def test_who_finds_it_again_keeps_nothing_open_of_the_one_before(daemon: PrivateLibvirtd) -> None:
    connection = share(daemon.uri)

    async def restarted() -> int:
        await daemon.kill9()
        await daemon.start()
        assert await connection.run(names) == []
        return len(os.listdir("/proc/self/fd"))

    before = await restarted()
    for _ in range(3):
        after = await restarted()

    assert after == before
    await release(connection)


async def test_its_guests_end_with_it(daemon: PrivateLibvirtd, tmp_path: Path) -> None:
    connection = share(daemon.uri)
    await connection.run(run_guest)
    guest = guest_process(tmp_path / "a")
    await release(connection)

    await daemon.stop()

    with pytest.raises(ProcessLookupError):
        os.kill(guest, 0)
    assert not Path(daemon.uri.partition("socket=")[2]).exists()


async def test_it_ends_with_its_owner_even_if_that_is_killed(tmp_path: Path) -> None:
    need_libvirtd()
    script = f"""
        import asyncio, libvirt
        from pathlib import Path
        from services.private.libvirtd import PrivateLibvirtd

        async def main():
            daemon = PrivateLibvirtd(Path({str(tmp_path)!r}) / "a")
            await daemon.start()
            libvirt.open(daemon.uri).createXML({DOMAIN!r})
            print(daemon.pid, flush=True)
            await asyncio.sleep(3600)

        asyncio.run(main())
    """
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(script), cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout
    try:
        daemon = int(await asyncio.wait_for(owner.stdout.readline(), SECONDS))
        guest = guest_process(tmp_path / "a")
    finally:
        with suppress(ProcessLookupError):
            owner.send_signal(signal.SIGKILL)
        await owner.wait()

    await ends(daemon)
    await ends(guest)
    shortened(tmp_path / "a", longest=LONGEST_ROOT).unlink()


async def test_every_host_finds_its_own_by_one_uri(tmp_path: Path) -> None:
    need_libvirtd()
    daemons = PrivateLibvirtds(tmp_path / "libvirtd", ["one", "two"])
    await daemons.start()
    try:
        connections = [share(daemons.uri.replace("{host}", host)) for host in ("one", "two")]
        await connections[0].run(run_guest)

        assert [await each.run(names) for each in connections] == [["guest"], []]
        for each in connections:
            await release(each)
    finally:
        await daemons.stop()
    assert not Path(daemons.uri.partition("socket=")[2]).parents[3].exists()


async def test_what_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_libvirtd()
    bad = tmp_path / "bin"
    bad.mkdir()
    (bad / "libvirtd").write_text("#!/bin/sh\necho it is broken >&2\nexit 1\n")
    (bad / "libvirtd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bad}:{os.environ['PATH']}")

    with pytest.raises(LibvirtdFailed, match="libvirtd ended: it is broken"):
        await PrivateLibvirtd(tmp_path / "a").start()
