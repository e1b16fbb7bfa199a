"""Start a cloud that stays, stop it, and tell about it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from novaflow.config import Config
from novaflow.errors import Invalid, ServiceUnavailable
from services import settings
from services.cli.options import metrics_port_option, state_dir_option
from services.cloud import ORDER, UP, addresses, cloud, is_running, owner, owning
from services.logs import configure
from services.loops import loop_factory
from services.supervisor import READY, stop_with_parent
from services.targets import targets

_DETACH_TIMEOUT: Final = 120.0  # seconds a detached cloud may take to get ready
_DOWN_TIMEOUT: Final = 90.0  # seconds a cloud may take to drain


@click.command()
@click.option(
    "--bus", help="memory:// (default), amqp://user:password@host:port/vhost, or private: a RabbitMQ of its own."
)
@click.option(
    "--db",
    "database",
    help="sqlite:///FILE (default), mysql://user:password@host/name, or private: a MariaDB of its own.",
)
@click.option(
    "--virt",
    help="auto (default), fake, private: a libvirtd of its own for each host, between which guests move while they run"
    " (they end with the cloud), or a libvirt URI: qemu:///embed, qemu:///system, ...",
)
@click.option("--hosts", type=click.IntRange(min=1), help="Compute hosts to run [default: 1].")
@state_dir_option
@click.option(
    "--port-base",
    type=click.IntRange(0, 65536 - settings.PORTS),
    help=f"Listen on {settings.PORTS} ports from here; 0 takes free ones.",
)
@metrics_port_option
@click.option("--config", "config_path", type=click.Path(path_type=Path, dir_okay=False), help="A novaflow.toml.")
@click.option("--processes", is_flag=True, help="Every service as its own process, supervised.")
@click.option("--detach", is_flag=True, help="Return when the cloud is ready; `novaflow down` stops it.")
@click.option("--supervised", is_flag=True, hidden=True)
def up(config_path: Path | None, processes: bool, detach: bool, supervised: bool, **flags: Any) -> None:  # noqa: FBT001
    """Start a cloud and serve until SIGINT or SIGTERM.

    \b
    Example:
      novaflow up --virt fake --hosts 4 --port-base 0 --state-dir /tmp/cloud
    """
    config = settings.read(config_path) if config_path else Config()
    given = settings.default_state_dir() if flags["state_dir"] is None and not config_path else flags.pop("state_dir")
    config = settings.with_flags(config, **{**flags, "state_dir": given})
    if detach:
        _detach(Path(config.state_dir))
        return
    configure(config, "novaflow")
    here = () if processes else ORDER
    with owning(Path(config.state_dir)), asyncio.Runner(loop_factory=loop_factory(config, here)) as runner:
        try:
            runner.run(_serve(config, processes=processes, supervised=supervised))
        except asyncio.CancelledError:
            raise ServiceUnavailable(service="the cloud", reason="it was stopped before it was ready") from None


async def _serve(config: Config, *, processes: bool, supervised: bool) -> None:
    stop = asyncio.Event()
    starting = asyncio.current_task()

    def end() -> None:
        stop.set()
        if starting:
            starting.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end)
    async with cloud(config, processes=processes, on_notice=_say) as running:
        starting = None  # from here on a signal drains
        for name, url in addresses(running).items():
            _say(f"{name:18} {url}")
        _say(f"{'clouds.yaml':18} {Path(running.state_dir).absolute() / 'clouds.yaml'}")
        _say(READY)
        async with asyncio.TaskGroup() as tasks:
            loops = [tasks.create_task(_offer_guest_image(running))]
            if supervised:
                loops.append(tasks.create_task(stop_with_parent()))
            await stop.wait()
            for loop in loops:
                loop.cancel()
        _say("draining")


async def _offer_guest_image(config: Config) -> None:
    """In a process of its own, and only now: neither the first request nor the cloud's memory should bear it."""
    command = (sys.executable, "-m", "services.cli", "guest", "upload", "--state-dir", config.state_dir)
    child = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        said, _ = await child.communicate()
        _say(said.decode(errors="replace").strip())
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()


def _detach(state_dir: Path) -> None:
    """Run the same command in the background and wait for its `ready`."""
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    arguments = [word for word in sys.argv[1:] if word != "--detach"]
    output = state_dir / "up.log"
    with output.open("wb") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "services.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + _DETACH_TIMEOUT
    while time.monotonic() < deadline:
        lines = output.read_text(errors="replace").splitlines()
        if READY in lines:
            click.echo("\n".join(lines))
            return
        if child.poll() is not None:
            raise ServiceUnavailable(service="the cloud", reason=lines[-1] if lines else "it ended without a word")
        time.sleep(0.05)
    child.terminate()
    raise ServiceUnavailable(
        service="the cloud", reason=f"it was not ready after {_DETACH_TIMEOUT:.0f} s, see {output}"
    )


@click.command()
@state_dir_option
def down(state_dir: Path | None) -> None:
    """Stop the cloud of a state directory and wait until it has drained. Does nothing when none runs.

    \b
    Example:
      novaflow down --state-dir /tmp/cloud
    """
    directory = state_dir or settings.default_state_dir()
    if not is_running(directory):
        click.echo(f"no cloud runs in {directory}")
        return
    pid = owner(directory)
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_TIMEOUT
    while is_running(directory):
        if time.monotonic() > deadline:
            raise ServiceUnavailable(
                service="the cloud", reason=f"process {pid} did not drain in {_DOWN_TIMEOUT:.0f} s"
            )
        time.sleep(0.05)
    click.echo("stopped")


@click.command()
@state_dir_option
def status(state_dir: Path | None) -> None:
    """Tell whether a cloud runs, its processes and where it listens. Exit status 1 when none runs.

    \b
    Example:
      novaflow status --state-dir /tmp/cloud
    """
    directory = state_dir or settings.default_state_dir()
    if not is_running(directory):
        killed = "; the last one ended without draining" if (directory / UP).exists() else ""
        raise Invalid(reason=f"no cloud runs in {directory}{killed}")
    facts = _facts(directory)
    watched = targets(directory)
    for name, pid in facts["processes"].items():
        where = f", http://{watched[pid]}/metrics and /healthz" if pid in watched else ""
        click.echo(f"{name:18} process {pid}{where}")
    for name, url in facts["addresses"].items():
        click.echo(f"{name:18} {url}")


def _facts(directory: Path) -> dict[str, Any]:
    path = directory / UP
    if not path.exists():
        raise ServiceUnavailable(
            service=f"the cloud in {directory}", reason=f"process {owner(directory)} starts or drains it"
        )
    found: dict[str, Any] = json.loads(path.read_text())
    return found
