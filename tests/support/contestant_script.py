"""The program of tests.support.contestants: its client writes on the boards what servers would."""

import json
import os
import signal
import sys
import time

from novaflow.lab.queue.contestants.protocol import Board, ClientOrder, ServerOrder, parse, unsupported

BEHAVIOUR = os.environ["BEHAVIOUR"]


def serve() -> None:
    if BEHAVIOUR == "never starts":
        sys.exit("no such exchange")
    print("ready", flush=True)
    signal.sigwait({signal.SIGTERM})


def send(order: ClientOrder) -> None:
    if BEHAVIOUR == "refuses":
        unsupported("it has no calls of this kind")
    if BEHAVIOUR == "breaks":
        sys.exit(f"cannot connect to {order.url}")
    if BEHAVIOUR == "mumbles":
        print("done")
        return
    began = time.perf_counter()
    for path in order.boards:
        board = Board(path)
        for number in range(order.messages):
            if BEHAVIOUR != "loses" or number % 10:
                board.count(number)
            if BEHAVIOUR == "doubles" and number < 3:
                board.count(number)
    report = {"seconds": time.perf_counter() - began, "cpu_s": 0.01, "quantiles_us": [1.0] * 101, "errors": 0}
    print(json.dumps(report))


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    order = parse(sys.argv[1:])
    if isinstance(order, ServerOrder):
        serve()
    else:
        send(order)
