"""What the contestants share: orders, boards, payloads, and a client that measures."""

import asyncio
import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from novaflow.lab.queue.contestants import protocol
from novaflow.lab.queue.contestants.protocol import (
    Board,
    ClientOrder,
    Payload,
    ServerOrder,
    parse,
    payloads,
    quantiles,
    send_all,
    send_all_in_threads,
    template,
)

SERVER = ["server", "--url", "amqp://h/", "--queue", "q", "--durability", "quorum", "--prefetch", "8", "--board", "b"]


def order(board: Path, op: str = "call", *, messages: int = 40, in_flight: int = 4) -> ClientOrder:
    Board.create(str(board), messages)
    return ClientOrder("amqp://h/", "q", "transient", op, in_flight, messages, (64,), (str(board),))


def line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def test_a_server_is_told_its_queue_and_what_the_durability_means_for_it() -> None:
    told = parse(SERVER)

    assert told == ServerOrder("amqp://h/", "q", "quorum", 8, "b")
    assert (told.durable, told.delivery_mode, told.queue_arguments) == (True, 2, {"x-queue-type": "quorum"})


def test_a_client_takes_a_list_of_sizes_and_several_boards(tmp_path: Path) -> None:
    sizes = tmp_path / "sizes"
    sizes.write_text("[100, 200]")
    words = "client --op fanout --in-flight 2 --messages 5 --url u --queue q --durability transient --board a --board b"

    told = parse([*words.split(), "--sizes", str(sizes)])

    assert told == ClientOrder("u", "q", "transient", "fanout", 2, 5, (100, 200), ("a", "b"))
    assert told.delivery_mode == 1


@pytest.mark.parametrize("sizes", ["[]", "{}", '["1"]', "[-1]", "no JSON"])
def test_a_file_that_lists_no_sizes_is_refused(tmp_path: Path, sizes: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sizes"
    file.write_text(sizes)

    with pytest.raises(SystemExit):
        parse(f"client --op call --messages 1 --url u --queue q --board b --sizes {file}".split())

    assert "--sizes" in capsys.readouterr().err


def test_what_a_contestant_cannot_do_it_refuses_with_a_status_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "contestant.py"
    script.write_text("from protocol import run\nrun(print, print, patterns=['cast'], durabilities=['durable'])\n")
    directory = str(Path(protocol.__file__).parent)

    done = subprocess.run(
        [sys.executable, script, *SERVER], env={"PYTHONPATH": directory}, capture_output=True, text=True, timeout=30
    )

    assert (done.returncode, done.stderr) == (protocol.UNSUPPORTED, "no quorum queues with this library\n")


def test_a_board_tells_losses_and_duplicates(tmp_path: Path) -> None:
    board = Board.create(str(tmp_path / "board"), 4)

    for number in (0, 1, 1, 3):
        board.count(number)

    assert (board.total, board.times) == (4, bytes([1, 2, 0, 1]))
    assert [board.unhandled_from(number) for number in (0, 2, 3)] == [2, 2, -1]


def test_a_board_counts_no_warm_ups_and_no_number_beyond_it_and_stops_at_255_times(tmp_path: Path) -> None:
    board = Board.create(str(tmp_path / "board"), 2)

    for number in [-1, 2, *[0] * 300]:
        board.count(number)

    assert (board.total, board.times) == (300, bytes([255, 0]))


def count_many(path: str) -> None:
    board = Board(path, processes=True)
    for number in range(2000):
        board.count(number)


def test_several_processes_count_on_one_board(tmp_path: Path) -> None:
    path = str(tmp_path / "board")
    board = Board.create(path, 2000)
    context = multiprocessing.get_context("spawn")

    workers = [context.Process(target=count_many, args=(path,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert (board.total, board.times) == (4000, bytes([2]) * 2000)


@pytest.mark.parametrize("size", [64, 999, 1000, 1024, 11292])
def test_a_payload_is_as_long_as_asked_and_begins_with_its_number(size: int) -> None:
    text = json.dumps(template(size), separators=(",", ":"))

    assert len(text) == size
    assert text.startswith('{"number":0,')


def test_a_payload_smaller_than_its_number_is_as_short_as_it_gets() -> None:
    assert template(1) == {"number": 0, "pad": ""}


def test_sizes_are_taken_in_turn() -> None:
    made = list(payloads(range(3), (64, 80)))

    assert [payload["number"] for payload in made] == [0, 1, 2]
    assert [len(payload["pad"]) for payload in made] == [len(template(size)["pad"]) for size in (64, 80, 64)]


def test_quantiles_are_interpolated() -> None:
    assert quantiles([3.0, 1.0])[::25] == [1.0, 1.5, 2.0, 2.5, 3.0]
    assert quantiles([]) == [0.0] * 101
    assert quantiles([7.0]) == [7.0] * 101


async def test_a_client_keeps_so_many_in_flight_and_counts_only_what_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers: list[int] = []
    now, most = 0, 0

    async def call(payload: Payload) -> Payload:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        numbers.append(payload["number"])
        await asyncio.sleep(0)
        now -= 1
        return payload

    await send_all(order(tmp_path / "board"), call)

    printed = line(capsys)
    assert most == 4
    assert numbers == [-1] * 4 + list(range(40))
    assert printed["errors"] == 0
    assert printed["seconds"] == printed["sent_seconds"] > 0
    assert printed["quantiles_us"] == sorted(printed["quantiles_us"])
    assert len(printed["quantiles_us"]) == 101


def test_threads_send_every_message_once_each_with_a_sender_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    senders: list[list[int]] = []

    def connect() -> Callable[[Payload], Payload]:
        mine: list[int] = []
        senders.append(mine)

        def call(payload: Payload) -> Payload:
            mine.append(payload["number"])
            return payload

        return call

    send_all_in_threads(order(tmp_path / "board"), connect)

    assert len(senders) == 4
    assert sorted(number for mine in senders for number in mine) == [-1] * 4 + list(range(40))
    assert line(capsys)["errors"] == 0


async def test_failures_and_wrong_answers_are_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def call(payload: Payload) -> Payload:
        if payload["number"] == 3:
            raise OSError("away")
        return {**payload, "number": 99} if payload["number"] == 5 else payload

    await send_all(order(tmp_path / "board"), call)

    assert line(capsys)["errors"] == 2


async def test_calls_without_an_answer_are_errors_when_nothing_has_moved_for_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "PATIENCE", 0.2)

    async def call(payload: Payload) -> Payload:
        if payload["number"] >= 38:
            await asyncio.Event().wait()
        return payload

    await send_all(order(tmp_path / "board"), call)

    assert line(capsys)["errors"] == 2


async def test_casts_end_when_the_last_was_handled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = order(tmp_path / "board", "cast")
    board = Board(told.boards[0])

    async def cast(payload: Payload) -> None:
        asyncio.get_running_loop().call_later(0.2, board.count, payload["number"])

    await send_all(told, cast)

    printed = line(capsys)
    assert printed["seconds"] >= 0.2 > printed["sent_seconds"]
    assert board.times == bytes([1]) * 40


async def test_a_lost_cast_is_waited_for_but_not_counted_as_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "PATIENCE", 0.3)
    told = order(tmp_path / "board", "cast")
    board = Board(told.boards[0])

    async def cast(payload: Payload) -> None:
        if payload["number"] != 7:
            board.count(payload["number"])

    began = time.perf_counter()
    await send_all(told, cast)

    assert time.perf_counter() - began > 0.3
    assert line(capsys)["seconds"] < 0.3
    assert board.times.count(0) == 1
