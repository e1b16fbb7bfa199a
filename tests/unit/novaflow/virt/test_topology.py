import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaflow.virt.image_facts import Refused
from novaflow.virt.topology import Topology, choose_topology

NOTHING = Topology()
SIZES = st.builds(Topology, sockets=st.integers(0, 8), cores=st.integers(0, 8), threads=st.integers(0, 4))


@pytest.mark.parametrize(
    ("vcpus", "wish", "limit", "chosen"),
    [
        (4, NOTHING, NOTHING, (4, 1, 1)),
        (4, Topology(sockets=1), NOTHING, (1, 4, 1)),
        (4, Topology(cores=2), NOTHING, (2, 2, 1)),
        (8, Topology(sockets=2, cores=2, threads=2), NOTHING, (2, 2, 2)),
        (4, Topology(sockets=3), NOTHING, (4, 1, 1)),  # cannot be, and is no error
        (8, NOTHING, Topology(sockets=2), (2, 4, 1)),
        (8, Topology(sockets=4), Topology(sockets=2, cores=2), (2, 2, 2)),
    ],
)
def test_a_wish_is_fulfilled_as_far_as_it_goes(
    vcpus: int, wish: Topology, limit: Topology, chosen: tuple[int, int, int]
) -> None:
    found = choose_topology(vcpus, wish, limit)

    assert (found.sockets, found.cores, found.threads) == chosen


def test_a_limit_that_leaves_no_way_is_refused() -> None:
    with pytest.raises(Refused, match="8 vCPUs"):
        choose_topology(8, NOTHING, Topology(sockets=2, cores=2, threads=1))


@given(vcpus=st.integers(1, 64), wish=SIZES, limit=SIZES)
def test_every_vcpu_has_one_place_and_no_limit_is_passed(vcpus: int, wish: Topology, limit: Topology) -> None:
    try:
        found = choose_topology(vcpus, wish, limit)
    except Refused:
        return

    assert found.sockets * found.cores * found.threads == vcpus
    for size, most in zip(
        (found.sockets, found.cores, found.threads), (limit.sockets, limit.cores, limit.threads), strict=True
    ):
        assert not most or size <= most
