"""Look after the queues: what waits, what died, and what shall be tried again."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich.console import Console
from rich.table import Table

from novaflow.errors import Invalid, Missing
from rpc.errors import Misconfigured
from rpc.queues import DeadLetter, QueueDepth, Queues, Replayed, Select, open_queues
from rpc.transport import dead_letters, destination
from services.cli.broker import Where, address, broker_option, chosen, known_hosts
from services.cli.options import state_dir_option
from services.letters import details, facts, summary
from services.masking import printable
from services.procedures import topics

_T = TypeVar("_T")
_MOST_SHOWN: Final = 10_000
_DEAD_SUFFIX: Final = ".dead"

_message_option = click.option("--message", "messages", multiple=True, metavar="ID", help="This one; may be repeated.")
_all_option = click.option("--all", "everything", is_flag=True, help="All of them.")
_method_option = click.option("--method", metavar="NAME", help="Only those of this method: stop_instance.")


@click.group()
def queue() -> None:
    """Look after the queues of a cloud that runs with RabbitMQ: depths, and dead letters.

    A message that no handler could work on ends in its topic's dead letters: compute's are the queue compute.dead.
    """


@queue.command(name="list")
@click.option("--host", "hosts", multiple=True, help="A compute host [default: those in the cloud's database].")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@state_dir_option
@broker_option
def list_queues(hosts: tuple[str, ...], as_json: bool, state_dir: Path | None, broker: str | None) -> None:  # noqa: FBT001
    """Show how many messages wait in each queue, and how many consumers it has.

    \b
    Example:
      novaflow queue list --host compute1 --host compute2
    """
    where = chosen(state_dir, broker)
    names = _names(hosts or known_hosts(where))
    depths = _with_queues(where, lambda queues: queues.depths(names))
    if as_json:
        click.echo(
            json.dumps([{"name": one.name, "messages": one.messages, "consumers": one.consumers} for one in depths])
        )
        return
    _print(_table(depths))
    for one in depths:
        if one.name.endswith(_DEAD_SUFFIX) and one.messages:
            topic = one.name.removesuffix(_DEAD_SUFFIX)
            click.echo(f"{one.messages} dead letters of {topic}: novaflow queue show {topic}")


@queue.command()
@click.argument("topic")
@click.argument("message", required=False)
@click.option("--limit", type=click.IntRange(1, _MOST_SHOWN), default=20, show_default=True, help="How many.")
@_method_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@state_dir_option
@broker_option
def show(topic: str, message: str | None, limit: int, method: str | None, as_json: bool, **where: Any) -> None:  # noqa: FBT001
    """Show the dead letters of TOPIC, oldest first, or all of one MESSAGE. They stay where they are.

    Secrets are masked: tokens, passwords, user data. The broker has them: a replay needs them.

    \b
    Example:
      novaflow queue show compute
      novaflow queue show compute 3fa94c0e11d2
    """
    select = _Selection(topic, (message,) if message else (), method)
    found = _with_queues(_where(where), lambda queues: _peek(queues, topic, limit, select))
    select.check()
    if as_json:
        click.echo(json.dumps([facts(letter) for letter in found], indent=2))
        return
    now = datetime.now(UTC)
    if not found:
        click.echo(f"no dead letters of {topic}" + (f" for {method}" if method else ""))
    for number, letter in enumerate(found):
        click.echo("\n".join(["", *details(letter, now)][not number :] if message else summary(letter, now)))


@queue.command()
@click.argument("topic")
@_message_option
@_all_option
@_method_option
@state_dir_option
@broker_option
def replay(topic: str, messages: tuple[str, ...], everything: bool, method: str | None, **where: Any) -> None:  # noqa: FBT001
    """Send dead letters of TOPIC to the queues they came from, with a new budget of retries.

    What cannot go back, because its queue is gone, stays and is named; exit status 1 then.

    \b
    Example:
      novaflow queue replay compute --method stop_instance
      novaflow queue replay compute --message 3fa94c0e11d2 --message 77ab01c2d9e0
    """
    select = _Selection.required(topic, messages, method, everything=everything)
    done: Replayed = _with_queues(_where(where), lambda queues: queues.replay(topic, select))
    click.echo(f"{done.count} of {topic} sent again")
    for one in done.stayed:
        click.echo(f"{one.id} {printable(one.method or 'unreadable')} stays: {printable(one.why)}", err=True)
    select.check()
    if done.stayed:
        raise SystemExit(1)


@queue.command()
@click.argument("topic")
@_message_option
@_all_option
@_method_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@state_dir_option
@broker_option
def purge(topic: str, messages: tuple[str, ...], everything: bool, method: str | None, yes: bool, **where: Any) -> None:  # noqa: FBT001
    """Delete dead letters of TOPIC for good.

    \b
    Example:
      novaflow queue purge compute --message 3fa94c0e11d2 --yes
    """
    select = _Selection.required(topic, messages, method, everything=everything)
    if not yes:
        click.confirm(f"Delete {select.words} for good?", abort=True)
    count = _with_queues(_where(where), lambda queues: queues.purge(topic, select))
    click.echo(f"{count} of {topic} deleted")
    select.check()


class _Selection:
    """Which dead letters are meant, and which of those named were not found."""

    def __init__(self, topic: str, messages: Sequence[str], method: str | None) -> None:
        self._topic = topic
        self._messages = frozenset(messages)
        self._method = method.removeprefix(f"{topic}.") if method else None
        self._found: set[str] = set()

    @classmethod
    def required(cls, topic: str, messages: Sequence[str], method: str | None, *, everything: bool) -> "_Selection":
        """A selection that somebody made; raises UsageError when he did not, or said two things."""
        if everything and messages:
            raise click.UsageError("--all and --message exclude each other")
        if not (everything or messages or method):
            raise click.UsageError("say which: --message ID, --method NAME or --all")
        return cls(topic, messages, method)

    @property
    def words(self) -> str:
        """What is selected, for people."""
        which = f"the dead letters {', '.join(sorted(self._messages))}" if self._messages else "all dead letters"
        return f"{which} of {self._topic}" + (f" for {self._method}" if self._method else "")

    def __call__(self, letter: DeadLetter) -> bool:
        """Is this one meant?"""
        if self._method is not None and letter.method != self._method:
            return False
        names = {letter.id, letter.unique_id} & self._messages
        self._found |= names
        return bool(names) or not self._messages

    def check(self) -> None:
        """Raise Missing naming a message that was asked for and not found."""
        missing = sorted(self._messages - self._found)
        if missing:
            raise Missing(reason=f"the dead letters of {self._topic} hold no {', '.join(missing)}")


async def _peek(queues: Queues, topic: str, limit: int, select: Select) -> list[DeadLetter]:
    found = await queues.peek(topic, limit, select)
    if not found and not await queues.depths([topic, dead_letters(topic).name]):
        raise Missing(reason=f"there are no queues of {topic}; the topics are {', '.join(topics())}")
    return found


def _names(hosts: Sequence[str]) -> list[str]:
    """The names of all queues there may be."""
    from novaflow.messages import COMPUTE

    names = []
    for topic in topics():
        names += [
            topic,
            *(destination(topic, host).name for host in hosts if topic == COMPUTE),
            dead_letters(topic).name,
        ]
    return names


def _table(depths: Sequence[QueueDepth]) -> Table:
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    drawn.add_column("queue", overflow="fold")
    drawn.add_column("waiting", justify="right")
    drawn.add_column("consumers", justify="right")
    for one in depths:
        is_trouble = bool(one.messages) and (one.name.endswith(_DEAD_SUFFIX) or not one.consumers)
        drawn.add_row(one.name, f"{one.messages:,}", str(one.consumers), style="red" if is_trouble else "")
    return drawn


def _print(table: Table) -> None:
    Console(width=None if Console().is_terminal else 150, soft_wrap=False).print(table)


def _with_queues(where: Where, work: Callable[[Queues], Awaitable[_T]]) -> _T:
    broker = address(where)

    async def run() -> _T:
        async with open_queues(broker) as queues:
            return await work(queues)

    try:
        return asyncio.run(run())
    except Misconfigured as error:
        raise Invalid(reason=f"bus.{error.field}: {error}") from error


def _where(options: dict[str, Any]) -> Where:
    return chosen(options["state_dir"], options["broker"])
