"""How the libvirt of other hosts reaches this one's."""

import pytest

from novaflow.virt.image_facts import Refused
from novaflow.virt.libvirt.route import Route

SOCKET = "qemu+unix:///session?socket=/run/a/libvirt-sock"


def test_a_socket_means_the_same_to_every_host_of_a_machine() -> None:
    assert Route().reached(SOCKET) == SOCKET


def test_what_the_operator_says_counts() -> None:
    route = Route(uri="qemu+tls://compute2/system")

    assert route.reached("qemu:///system") == "qemu+tls://compute2/system"
    assert route.reached(SOCKET) == "qemu+tls://compute2/system"


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("qemu:///embed?root=/srv/a", "use a libvirt daemon"),
        ("test:///default", "cannot move while they run"),
        ("qemu:///system", "compute.live_migration_uri has to say"),
    ],
)
def test_a_libvirt_that_others_cannot_reach_is_refused_with_what_to_do(uri: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        Route().reached(uri)
