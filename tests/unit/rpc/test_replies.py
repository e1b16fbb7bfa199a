import asyncio
import logging

import msgspec
import pytest

from rpc.envelope import Reply
from rpc.replies import Answer, Replies, Silence

LIMIT = 1000


def answer(msg_id: str, *, ending: bool | msgspec.UnsetType = True) -> bytes:
    return Reply(msg_id=msg_id, unique_id="u", result=msgspec.Raw(b"1"), ending=ending).pack(LIMIT)


def expect(replies: Replies, msg_id: str, seconds: float = 60.0) -> asyncio.Future[Answer]:
    loop = asyncio.get_running_loop()
    return replies.expect(msg_id, loop.time() + seconds, loop)


async def test_an_answer_finds_its_call_once() -> None:
    replies = Replies(LIMIT)
    one, two = expect(replies, "1"), expect(replies, "2")

    replies.receive(answer("2"))
    replies.receive(answer("2"))

    assert not one.done()
    got = await two
    assert isinstance(got, Reply)
    assert got.msg_id == "2"
    assert replies.stray == 1


async def test_an_answer_that_never_was_bytes_is_as_good() -> None:
    replies = Replies(LIMIT)
    one = expect(replies, "1")
    reply = Reply(msg_id="1", unique_id="u")

    replies.receive(reply)

    assert await one is reply


async def test_a_sign_of_life_answers_nothing() -> None:
    replies = Replies(LIMIT)
    one = expect(replies, "1")

    replies.receive(answer("1", ending=False))
    assert not one.done()
    replies.receive(answer("1", ending=msgspec.UNSET))

    assert isinstance(await one, Reply)
    assert replies.stray == 0


async def test_a_lost_connection_wakes_every_call() -> None:
    replies = Replies(LIMIT)
    one, two = expect(replies, "1"), expect(replies, "2")
    replies.forget("2")

    replies.lost()

    assert await one is Silence.LOST
    assert not two.done()


async def test_a_question_that_no_queue_took_is_told_at_once() -> None:
    replies = Replies(LIMIT)
    one, two = expect(replies, "1"), expect(replies, "2")

    replies.unrouted("1")
    replies.unrouted("nobody's")

    assert await one is Silence.UNROUTED
    assert not two.done()
    assert replies.stray == 1


async def test_a_call_ends_at_its_deadline_however_near_or_far_it_is() -> None:
    replies = Replies(LIMIT)
    loop = asyncio.get_running_loop()
    began = loop.time()
    far, near, past = expect(replies, "1", 0.8), expect(replies, "2", 0.05), expect(replies, "3", -1.0)

    assert await past is Silence.TIMEOUT
    assert await near is Silence.TIMEOUT
    assert loop.time() - began >= 0.05
    assert not far.done()
    assert await asyncio.wait_for(far, 10.0) is Silence.TIMEOUT
    assert loop.time() - began >= 0.8


async def test_calls_are_watched_again_after_a_time_without_any() -> None:
    replies = Replies(LIMIT)
    for _ in range(2):
        late = expect(replies, "1", 0.01)
        assert await asyncio.wait_for(late, 10.0) is Silence.TIMEOUT
        replies.forget("1")
        await asyncio.sleep(0.3)  # longer than between two looks: nobody looks any more


async def test_a_call_that_is_forgotten_leaves_no_alarm_behind() -> None:
    replies = Replies(LIMIT)
    one = expect(replies, "1", 0.05)
    await asyncio.sleep(0)

    replies.forget("1")
    replies.forget("1")
    await asyncio.sleep(0.1)

    assert not one.done()


async def test_an_answer_that_cannot_be_read_is_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    replies = Replies(LIMIT)

    with caplog.at_level(logging.WARNING):
        replies.receive(b"{")

    assert "an answer that cannot be read: envelope: " in caplog.text
    assert replies.stray == 1
