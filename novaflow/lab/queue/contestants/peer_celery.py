# mypy: disable-error-code="import-not-found, untyped-decorator"
"""Celery with the rpc:// result backend: JSON, a prefork worker on every core, confirms on, acks after the work.

Casts are sent by threads. Results are collected by one thread, the oldest first: the backend loses some to other threads.
"""

import itertools
import os
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from celery import Celery
from celery.signals import worker_ready
from kombu import Queue
from protocol import (
    PATIENCE,
    Board,
    ClientOrder,
    Order,
    Payload,
    ServerOrder,
    Stopwatch,
    Tally,
    measured,
    ready,
    run,
    send_all_in_threads,
    warm_ups,
)


def application(order: Order, connections: int, board: Board | None = None) -> Celery:
    """The application with its two tasks."""
    app = Celery("contestant", broker=order.url, backend="rpc://")
    app.conf.update(
        task_serializer="json",
        result_serializer="json",
        result_persistent=False,
        task_default_queue=order.queue,
        task_queues=[Queue(order.queue, durable=order.durable, queue_arguments=order.queue_arguments)],
        task_default_delivery_mode="persistent" if order.durable else "transient",
        task_acks_late=True,
        broker_pool_limit=connections,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"confirm_publish": True},
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
    )

    @app.task(name="echo")
    def echo(payload: Payload) -> Payload:
        if board is not None:
            board.count(payload["number"])
        return payload

    @app.task(name="work", ignore_result=True)
    def work(payload: Payload) -> None:
        if board is not None:
            board.count(payload["number"])

    return app


def serve(order: ServerOrder) -> None:
    """Answer calls, count casts; the worker's own handling of SIGTERM ends it."""
    cores = os.cpu_count() or 1
    app = application(order, 10, Board(order.board, processes=True))
    app.conf.worker_prefetch_multiplier = max(1, order.prefetch // cores)
    worker_ready.connect(lambda **_: ready(), weak=False)
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "CRITICAL"]
    app.worker_main(["--quiet", "worker", "--pool", "prefork", "--concurrency", str(cores), *quiet])


def call_all(echo: Any, in_flight: int, todo: Iterator[Payload], tally: Tally) -> None:
    """Call with so many in flight."""
    pending: deque[tuple[float, Payload, Any]] = deque()
    for payload in itertools.chain(todo, itertools.repeat(None, in_flight)):
        if pending and (payload is None or len(pending) == in_flight):
            began, asked, result = pending.popleft()
            try:
                tally.answered(began, asked, result.get(timeout=PATIENCE))
            except Exception as error:  # whatever Celery raises
                tally.failed(error)
        if payload is not None:
            pending.append((time.perf_counter(), payload, echo.delay(payload)))


def send(order: ClientOrder) -> None:
    """Call or cast."""
    app = application(order, order.in_flight)
    if order.op == "cast":

        def cast(payload: Payload) -> None:
            app.tasks["work"].delay(payload)

        send_all_in_threads(order, lambda: cast)
        return
    call_all(app.tasks["echo"], order.in_flight, warm_ups(order), Tally())
    watch = Stopwatch(order)
    call_all(app.tasks["echo"], order.in_flight, measured(order), watch.tally)
    watch.sent()
    watch.report()


if __name__ == "__main__":
    run(serve, send)
