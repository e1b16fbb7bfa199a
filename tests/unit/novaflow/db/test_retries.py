"""Which failures pass, and how patient one is."""

import random
import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from novaflow.db.retries import delay, passing


def failed(*arguments: object) -> OperationalError:
    return OperationalError("SELECT 1", {}, Exception(*arguments))


@pytest.mark.parametrize("number", [1020, 1047, 1158, 1159, 1160, 1161, 1205, 1213, 1927, 2003, 2006, 2013])
def test_what_passes_is_known_by_its_number(number: int) -> None:
    assert passing(failed(number, "text")) is not None


@pytest.mark.parametrize("error", [failed(1064, "syntax"), failed(1146, "no table"), failed(), ValueError("x")])
def test_what_would_fail_again_is_not_retried(error: Exception) -> None:
    assert passing(error) is None


def test_a_file_locked_by_another_process_passes(tmp_path: object) -> None:
    path = f"{tmp_path}/x.sqlite"
    with sqlite3.connect(path) as holder, sqlite3.connect(path, timeout=0) as other:
        holder.execute("CREATE TABLE t (a)")
        holder.commit()
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError) as locked:
            other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError) as missing:
            other.execute("SELECT * FROM nothing")
    holder.close()
    other.close()

    assert passing(OperationalError("BEGIN", {}, locked.value)) == "the file is locked by another process"
    assert passing(OperationalError("SELECT", {}, missing.value)) is None


def test_delays_grow_to_a_limit_and_differ() -> None:
    dice = random.Random(7)
    delays = [delay(attempt, dice) for attempt in range(1, 30)]

    assert 0.01 <= delays[0] <= 0.02
    assert delays[:7] == sorted(delays[:7])
    assert all(1.0 <= one <= 2.0 for one in delays[8:])
    assert len(set(delays)) == len(delays)


def test_a_server_that_dies_while_it_greets_is_asked_again() -> None:
    assert passing(RuntimeError("Transport does not expose socket instance")) == "the server cannot be reached"
    assert passing(RuntimeError("anything else")) is None
