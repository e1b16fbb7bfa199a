import pytest

from rpc.errors import Unroutable
from rpc.transport import Role, dead_letters, destination, everyone, reply_queue


def test_queues_have_novas_names() -> None:
    places = [destination("compute"), destination("compute", "h1"), everyone("compute"), dead_letters("compute")]

    assert [(place.role, place.name) for place in places] == [
        (Role.SHARED, "compute"),
        (Role.HOST, "compute.h1"),
        (Role.FANOUT, "compute_fanout"),
        (Role.DEAD, "compute.dead"),
    ]
    assert reply_queue("reply_1").name == "reply_1"


@pytest.mark.parametrize("name", ["", "*", "a.#", "a b", ".a", "ü", "a\n", "x" * 201])
def test_names_that_no_queue_can_have_are_unroutable(name: str) -> None:
    with pytest.raises(Unroutable, match="no queue can be named"):
        destination("compute", name)
    with pytest.raises(Unroutable, match="no queue can be named"):
        destination(name)
