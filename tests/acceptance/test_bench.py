"""The instrument itself: `novaflow bench queue` and `broker-kill` against real private brokers, and what they leave behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.rabbitmq import RabbitMQ

BENCH = [sys.executable, "-m", "services.cli", "bench"]


def test_the_bus_is_measured_on_a_given_broker(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    words = ["--rounds", "1", "--messages", "200", "--in-flight", "1,16", "--peers", "memory"]
    files = ["--json", str(tmp_path / "queue.json"), "--html", str(tmp_path / "queue.html")]

    done = subprocess.run(
        [*BENCH, "queue", "--broker", rabbitmq.url, *words, *files], capture_output=True, text=True, timeout=110
    )

    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "queue.json").read_text())["figures"]
    assert {(one["contestant"], one["in_flight"]) for one in figures} == {
        (name, in_flight) for name in ("novaflow", "memory") for in_flight in (1, 16)
    }
    for figure in figures:
        assert figure["rate"] > 0
        assert figure["lost"] == figure["duplicated"] == figure["errors"] == 0
        assert figure["broker_us"] is not None
    password = rabbitmq.url.partition("://")[2].partition("@")[0].partition(":")[2]
    for text in (done.stdout, done.stderr, *(path.read_text() for path in tmp_path.iterdir())):
        assert password not in text


def test_a_durable_bus_loses_nothing_when_its_broker_is_killed(tmp_path: Path) -> None:
    found = tmp_path / "kill.json"
    words = ["--seconds", "4", "--down", "0.5", "--in-flight", "8", "--json", str(found)]

    done = subprocess.run([*BENCH, "broker-kill", *words], capture_output=True, text=True, timeout=110)

    assert done.returncode == 0, done.stderr
    findings = json.loads(found.read_text())["findings"]
    assert findings["lost"] == 0
    assert findings["casts"]["accepted"] > 0
    # The broker is back well within the time that a message may wait for it.
    assert findings["casts"]["raised"] == findings["calls"]["raised"] == {}
    assert findings["casts"]["hung"] == findings["calls"]["hung"] == 0
    assert findings["casts"]["gap_s"] >= 0.5
    assert findings["calls"]["recovered_s"] is not None


def test_an_interrupt_ends_the_broker_and_the_contestants() -> None:
    command = [*BENCH, "queue", "--rounds", "1000", "--in-flight", "4", "--peers", "novaflow"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        started: set[int] = set()
        deadline = time.monotonic() + 90
        # The broker, its port mapper, a server and a client.
        while len(started) < 4 and time.monotonic() < deadline:
            started |= children(running.pid)
            time.sleep(0.02)
        assert len(started) >= 4

        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()

    assert running.returncode == 130
    assert "Interrupted" in said
    assert "Traceback" not in said
    assert not [pid for pid in started if is_running(pid)]


def children(parent: int) -> set[int]:
    task = Path(f"/proc/{parent}/task/{parent}/children")
    return {int(pid) for pid in task.read_text().split()} if task.exists() else set()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_the_queues_of_many_hosts_are_declared_and_each_hears_its_message() -> None:
    words = ["hosts", "--hosts", "300", "--queues", "transient", "--json", "-"]

    done = subprocess.run([*BENCH, *words], capture_output=True, text=True, timeout=110)

    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["hosts"], figures["queues"]) == (300, "transient")
    assert figures["declared_s"] > 0


def test_schedulers_side_by_side_sell_nothing_twice_and_a_decision_is_the_loops(tmp_path: Path) -> None:
    found = tmp_path / "schedule.json"
    words = ["schedule", "--hosts", "10,200", "--decisions", "300", "--side-hosts", "50", "--schedulers", "2"]

    done = subprocess.run([*BENCH, *words, "--json", str(found)], capture_output=True, text=True, timeout=110)

    assert done.returncode == 0, done.stderr
    figures = json.loads(found.read_text())
    assert [one["hosts"] for one in figures["cost"]] == [10, 200]
    together = figures["side_by_side"]
    assert (together["database"], together["placed"], together["unplaced"]) == ("mariadb", 190, 0)
    assert (together["on_hosts"], together["over_committed"], together["miscounted"]) == (190, 0, 0)


@pytest.mark.timeout(400)
def test_both_doors_and_moto_are_measured_in_one_run_and_list_every_instance(tmp_path: Path) -> None:
    found = tmp_path / "ec2.json"
    words = ["ec2", "--clouds", "embedded", "--peers", "moto", "--instances", "20", "--rounds", "2", "--seconds", "0.5"]

    done = subprocess.run([*BENCH, *words, "--json", str(found)], capture_output=True, text=True, timeout=390)

    assert done.returncode == 0, done.stderr
    document = json.loads(found.read_text())
    doors = {"embedded, EC2", "embedded, OpenStack", "moto, EC2"}
    figures = document["figures"]
    assert {(one["contestant"], one["act"], one["connections"]) for one in figures} == {
        (door, act, connections) for door in doors for act in ("boot", "list") for connections in (1, 4)
    }
    for figure in figures:
        assert figure["per_s"] > 0
        assert set(figure["times_as_fast_as"]) == doors - {figure["contestant"]}
        assert (figure["cpu_ms"] or 0) > 0 or figure["act"] == "boot"
    assert document["versions"]["moto"]
    # One of each door was there before the first turn.
    ordered = [one["calls"] for one in document["measurements"] if one["act"] == "boot"]
    assert sum(ordered) == 2 * 20 - 3
    assert "DescribeInstances | GET /servers/detail" in done.stderr
