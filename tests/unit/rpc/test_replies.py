import logging

import pytest

from rpc.envelope import Reply, pack_reply
from rpc.replies import Replies, Silence

LIMIT = 1000


def answer(msg_id: str) -> bytes:
    return pack_reply(msg_id, "u", result=1, failure=None, limit=LIMIT)


async def test_an_answer_finds_its_call_once() -> None:
    replies = Replies(LIMIT)
    one, two = replies.expect("1"), replies.expect("2")

    replies.receive(answer("2"))
    replies.receive(answer("2"))

    assert not one.done()
    got = await two
    assert isinstance(got, Reply)
    assert got.msg_id == "2"
    assert replies.stray == 1


async def test_a_lost_connection_wakes_every_call() -> None:
    replies = Replies(LIMIT)
    one, two = replies.expect("1"), replies.expect("2")
    replies.forget("2")

    replies.lost()

    assert await one is Silence.LOST
    assert not two.done()


async def test_an_answer_that_cannot_be_read_is_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    replies = Replies(LIMIT)

    with caplog.at_level(logging.WARNING):
        replies.receive(b"{")

    assert "an answer that cannot be read: envelope: " in caplog.text
    assert replies.stray == 1
