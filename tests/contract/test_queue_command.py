"""`novaflow queue` on a real broker: what people see and what scripts get."""

import asyncio
import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from click.testing import CliRunner, Result

from novaflow.config import Bus, Config
from novaflow.errors import Invalid, Missing
from rpc.envelope import DEAD_SINCE, ORIGIN, REASON, RETRIES, TRACEPARENT
from rpc.errors import NotConnected, Refused
from services import settings
from services.cli import cli
from tests.support.rabbitmq import RabbitMQ

SECRET = "hunter2"
TRACE = "5e6a0c3e1f0d4f5c9a431d5f4d1f7a11"


class Topic:
    """One topic with a queue and dead letters, and the command that is pointed at its broker."""

    def __init__(self, url: str) -> None:
        self.name = f"t{secrets.token_hex(4)}"
        self._url = url

    def run(self, *words: str, stdin: str = "") -> Result:
        return CliRunner().invoke(cli, ["queue", *words], env={"NOVAFLOW_BROKER": self._url}, input=stdin)

    def said(self, *words: str) -> str:
        result = self.run(*words)
        assert result.exit_code == 0, result.output
        return result.output

    def shown(self, *words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.said("show", self.name, "--json", *words))
        return found

    def bury(self, method: str, queue: str = "", **headers: str | int) -> None:
        inner = {
            "method": method,
            "args": {"server_id": "s-1", "admin_password": SECRET},
            "_context_token": SECRET,
            "_context_user_id": "u-1",
        }
        body = json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(inner)}).encode()
        asyncio.run(self._publish(body, {ORIGIN: queue or self.name, REASON: f"no: token={SECRET}", **headers}))

    def bury_raw(self, body: bytes) -> None:
        asyncio.run(self._publish(body, {ORIGIN: self.name, REASON: "envelope: \x1b[31m"}))

    async def _publish(self, body: bytes, headers: dict[str, Any]) -> None:
        async with await aio_pika.connect(self._url) as connection, connection.channel() as channel:
            message = aio_pika.Message(body, headers=headers)
            await channel.default_exchange.publish(message, f"{self.name}.dead")

    async def declare(self) -> None:
        async with await aio_pika.connect(self._url) as connection, connection.channel() as channel:
            for name in (self.name, f"{self.name}.dead"):
                await channel.declare_queue(name, durable=True)

    async def delete(self) -> None:
        async with await aio_pika.connect(self._url) as connection, connection.channel() as channel:
            for name in (self.name, f"{self.name}.dead"):
                await channel.queue_delete(name)


@pytest.fixture
def topic(rabbitmq: RabbitMQ) -> Iterator[Topic]:
    topic = Topic(rabbitmq.url)
    asyncio.run(topic.declare())
    yield topic
    asyncio.run(topic.delete())


def test_a_look_tells_what_happened_and_no_secret(topic: Topic) -> None:
    since = round(time.time() - 7300) * 1000
    headers: dict[str, str | int] = {RETRIES: 3, DEAD_SINCE: since, TRACEPARENT: f"00-{TRACE}-00f067aa0ba902b7-01"}
    topic.bury("stop_instance", f"{topic.name}.h1", **headers)
    topic.bury_raw(b'{"oslo.message": "{\\"admin_password\\": \\"' + SECRET.encode())

    plain = topic.said("show", topic.name)
    first, second = topic.shown()
    whole = topic.said("show", topic.name, first["id"])
    broken = topic.said("show", topic.name, second["id"])

    assert SECRET not in plain + whole + broken + json.dumps([first, second])
    assert "\x1b" not in plain + broken
    assert plain.splitlines()[0] == f"{first['id']}  stop_instance  from {topic.name}.h1, 2 h ago"
    assert plain.splitlines()[1:3] == ["  no: token=***", "  server_id=s-1"]
    assert "request    req-5e6a0c3e-1f0d-4f5c-9a43-1d5f4d1f7a11" in whole
    assert '"admin_password": "***"' in whole
    assert '"user_id": "u-1"' in whole
    assert "method     unreadable" in broken
    assert (first["arguments"], first["context"]) == (
        {"server_id": "s-1", "admin_password": "***"},
        {"token": "***", "user_id": "u-1"},
    )
    assert (second["method"], second["begins"]) == (None, '{"oslo.message": "{\\"***')


def test_how_many_and_which_are_shown_is_a_choice(topic: Topic) -> None:
    for method in ("one", "two", "two"):
        topic.bury(method)

    assert [letter["method"] for letter in topic.shown("--limit", "2")] == ["one", "two"]
    assert [letter["method"] for letter in topic.shown("--method", f"{topic.name}.two")] == ["two", "two"]
    assert f"no dead letters of {topic.name} for three" in topic.said("show", topic.name, "--method", "three")


def test_what_is_chosen_is_sent_again_and_what_cannot_be_is_named(topic: Topic) -> None:
    topic.bury("one")
    topic.bury("two")
    topic.bury("lost", f"{topic.name}.gone")

    assert topic.said("replay", topic.name, "--method", "one") == f"1 of {topic.name} sent again\n"
    result = topic.run("replay", topic.name, "--all")
    (left,) = topic.shown()

    assert result.exit_code == 1
    assert f"1 of {topic.name} sent again" in result.stdout
    assert f"{left['id']} lost stays: its queue {topic.name}.gone is not there" in result.stderr
    missing = topic.run("replay", topic.name, "--message", "nope", "--message", left["id"])
    assert isinstance(missing.exception, Missing)
    assert f"the dead letters of {topic.name} hold no nope" in str(missing.exception)


def test_a_purge_asks_first_and_deletes_what_was_chosen(topic: Topic) -> None:
    topic.bury("one")
    topic.bury("two")
    kept = topic.shown("--method", "two")[0]["id"]

    refused = topic.run("purge", topic.name, "--all", stdin="n\n")
    assert (refused.exit_code, len(topic.shown())) == (1, 2)
    assert f"Delete all dead letters of {topic.name} for good?" in refused.output
    assert topic.said("purge", topic.name, "--method", "one", "--yes") == f"1 of {topic.name} deleted\n"
    assert [letter["id"] for letter in topic.shown()] == [kept]


@pytest.mark.parametrize(
    "words", [("replay", "x"), ("purge", "x", "--yes"), ("replay", "x", "--all", "--message", "1"), ("show",)], ids=str
)
def test_nothing_is_done_without_saying_to_what(topic: Topic, words: tuple[str, ...]) -> None:
    assert topic.run(*words).exit_code == 2


def test_a_topic_that_is_not_there_is_told_with_those_that_are(topic: Topic) -> None:
    result = topic.run("show", f"{topic.name}x")

    assert isinstance(result.exception, Missing)
    assert "the topics are scheduler, compute, conductor" in str(result.exception)


def test_the_queues_of_a_cloud_are_listed_with_their_hosts(topic: Topic, fresh_rabbitmq_url_sync: str) -> None:
    async def declare() -> None:
        async with await aio_pika.connect(fresh_rabbitmq_url_sync) as connection, connection.channel() as channel:
            for name in ("compute", "compute.h1", "compute.dead", "scheduler"):
                await channel.declare_queue(name, durable=True)
            await channel.default_exchange.publish(aio_pika.Message(b"x"), "compute.dead")

    asyncio.run(declare())
    words = ("list", "--host", "h1", "--host", "h2", "--broker", fresh_rabbitmq_url_sync)

    assert [row.split() for row in topic.said(*words).splitlines()] == [
        ["queue", "waiting", "consumers"],
        ["scheduler", "0", "0"],
        ["compute", "0", "0"],
        ["compute.h1", "0", "0"],
        ["compute.dead", "1", "0"],
        ["1", "dead", "letters", "of", "compute:", "novaflow", "queue", "show", "compute"],
    ]
    assert json.loads(topic.said(*words, "--json"))[-1] == {"name": "compute.dead", "messages": 1, "consumers": 0}


@pytest.fixture
def fresh_rabbitmq_url_sync(rabbitmq: RabbitMQ) -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}"
    asyncio.run(rabbitmq.ctl("add_vhost", name))
    asyncio.run(rabbitmq.ctl("set_permissions", "-p", name, rabbitmq.user, ".*", ".*", ".*"))
    yield rabbitmq.url + name
    asyncio.run(rabbitmq.ctl("delete_vhost", name))


@pytest.mark.parametrize(
    ("broker", "kind"),
    [
        ("amqp://novaflow:s3cret@127.0.0.1:1/", NotConnected),
        ("redis://novaflow:s3cret@127.0.0.1/", Invalid),
        ("amqp://novaflow:s3c/ret@127.0.0.1/", Invalid),
        ("wrong", Invalid),
    ],
)
def test_a_broker_that_cannot_be_reached_is_told_in_a_sentence_without_a_password(
    topic: Topic, broker: str, kind: type[Exception]
) -> None:
    result = topic.run("list", "--broker", broker)

    assert isinstance(result.exception, kind)
    assert "s3c" not in str(result.exception) + result.output


def test_wrong_credentials_are_told(topic: Topic, rabbitmq: RabbitMQ) -> None:
    result = topic.run("list", "--broker", f"amqp://novaflow:s3cret@127.0.0.1:{rabbitmq.port}/")

    assert isinstance(result.exception, Refused)
    assert "s3cret" not in str(result.exception)


def test_a_cloud_in_one_process_says_how_to_have_queues_that_can_be_seen(topic: Topic, tmp_path: Path) -> None:
    settings.save(Config(state_dir=str(tmp_path / "cloud")))

    result = topic.run("list", "--state-dir", str(tmp_path / "cloud"))

    assert isinstance(result.exception, Invalid)
    assert "memory://" in str(result.exception)
    assert "novaflow up --bus private" in str(result.exception)


def test_a_cloud_is_found_by_its_state_directory_which_is_stronger_than_the_environment(
    topic: Topic, rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    settings.save(Config(state_dir=str(tmp_path / "cloud"), bus=Bus(url=rabbitmq.url)))
    topic.bury("one")

    result = CliRunner().invoke(
        cli,
        ["queue", "show", topic.name, "--state-dir", str(tmp_path / "cloud")],
        env={"NOVAFLOW_BROKER": "amqp://a:b@127.0.0.1:1/"},
    )

    assert result.exit_code == 0
    assert "one  from" in result.output
