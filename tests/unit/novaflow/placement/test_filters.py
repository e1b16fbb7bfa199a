"""Every filter: what it lets through, what it refuses and in which words."""

import json
from typing import Any

import msgspec
import pytest

from novaflow.config import Scheduler
from novaflow.errors import Invalid
from novaflow.hosts import Host
from novaflow.models import Flavor
from novaflow.placement.asking import Ask, Group
from novaflow.placement.filters import FILTERS, canonical, named
from novaflow.placement.rules.capacity import ratios_of
from novaflow.placement.rules.extra_specs import matches
from novaflow.placement.rules.query import parsed
from tests.support.placement import PLAIN, aggregate, ask, host, why


@pytest.mark.parametrize("name", FILTERS)
def test_an_empty_host_that_is_up_passes_every_filter(name: str) -> None:
    assert why(name, host(), ask()) is None


def query(*terms: Any) -> Ask:
    return ask(hints={"query": json.dumps(terms)})


def isolating(**more: Any) -> Scheduler:
    return msgspec.structs.replace(PLAIN, isolated_hosts=("c1",), **more)


AVX = {"capabilities:cpu_info:features": "<in> avx2"}
X86: dict[str, Any] = {"cpu_info": {"arch": "x86_64", "features": ["sse", "avx2"]}}

REFUSED = [
    ("ram", host(ram_used=7900), ask(ram_mb=512), "512 MB asked, 100 of 8000 free"),
    ("core", host(vcpus_used=7), ask(vcpus=2), "2 vCPUs asked, 1 of 8 free"),
    ("disk", host(disk_gb_used=95), ask(disk_gb=4, ephemeral_gb=1, swap_mb=1), "6 GB asked, 5 of 100 free"),
    ("compute", host(is_up=False), ask(), "the service is down"),
    ("compute", host(is_enabled=False), ask(), "the service is disabled"),
    ("availability_zone", host(), ask(availability_zone="west"), "zone west asked, the host is in nova"),
    (
        "availability_zone",
        host(aggregates=(aggregate("east"),)),
        ask(availability_zone="nova"),
        "zone nova asked, the host is in east",
    ),
    ("retry", host(), ask(tried=("c9", "c1")), "the build failed on this host already"),
    ("compute_capabilities", host(), ask(extra_specs=AVX), "cpu_info:features is unknown, <in> avx2 asked"),
    (
        "compute_capabilities",
        host(hypervisor_version=7),
        ask(extra_specs={"hypervisor_version": ">= 8"}),
        "hypervisor_version is 7, >= 8 asked",
    ),
    (
        "image_properties",
        host(**X86),
        ask(properties={"hw_architecture": "aarch64"}),
        "the image needs architecture aarch64",
    ),
    (
        "image_properties",
        host(),
        ask(properties={"img_hv_type": "vmware"}),
        "the image needs hypervisor type vmware",
    ),
    ("image_properties", host(), ask(properties={"hw_vm_mode": "xen"}), "the image needs vm mode xen"),
    (
        "image_properties",
        host(hypervisor_version=7_002_022),
        ask(properties={"hypervisor_version_requires": ">=7.0,<7.2"}),
        "the image needs hypervisor version >=7.0,<7.2",
    ),
    (
        "server_group_affinity",
        host(),
        ask(group=Group("affinity", {"c3": 1, "c2": 2})),
        "the group's servers are on c2",
    ),
    (
        "server_group_anti_affinity",
        host(),
        ask(group=Group("anti-affinity", {"c1": 1})),
        "it has 1 of at most 1 servers of the group",
    ),
    (
        "aggregate_instance_extra_specs",
        host(aggregates=(aggregate(ssd="false"),)),
        ask(extra_specs={"aggregate_instance_extra_specs:ssd": "true"}),
        "no aggregate of the host has ssd true",
    ),
    (
        "aggregate_image_properties_isolation",
        host(aggregates=(aggregate(os_type="windows, os2"),)),
        ask(properties={"os_type": "linux"}),
        "its aggregate is for images with another os_type",
    ),
    (
        "aggregate_multitenancy_isolation",
        host(aggregates=(aggregate(filter_tenant_id="a", filter_tenant_id2="b,c"),)),
        ask(),
        "its aggregate is for other projects",
    ),
    (
        "aggregate_ram",
        host(aggregates=(aggregate(ram_allocation_ratio="0.05"), aggregate(ram_allocation_ratio="2"))),
        ask(),
        "512 MB asked, 400 of 400 free",
    ),
    (
        "aggregate_core",
        host(aggregates=(aggregate(cpu_allocation_ratio="0.5"),)),
        ask(vcpus=3),
        "3 vCPUs asked, 2 of 2 free",
    ),
    (
        "aggregate_disk",
        host(aggregates=(aggregate(disk_allocation_ratio="0.5"),)),
        ask(disk_gb=51),
        "51 GB asked, 50 of 50 free",
    ),
    (
        "aggregate_num_instances",
        host(servers=3, aggregates=(aggregate(max_instances_per_host="3"),)),
        ask(),
        "it has 3 of 3 servers",
    ),
    (
        "aggregate_io_ops",
        host(io_ops=2, aggregates=(aggregate(max_io_ops_per_host="1"),)),
        ask(),
        "it does 2 of 1 heavy tasks",
    ),
    (
        "aggregate_type_affinity",
        host(aggregates=(aggregate(instance_type="m1.large,m1.huge"),)),
        ask(),
        "its aggregate is for flavor m1.large, m1.huge",
    ),
    ("same_host", host(), ask(hints={"same_host": ("s1",)}, homes={"s1": "c2"}), "it has none of the servers s1"),
    ("same_host", host(), ask(hints={"same_host": "gone"}), "it has none of the servers gone"),
    ("different_host", host(), ask(hints={"different_host": "s1"}, homes={"s1": "c1"}), "it has server s1"),
    (
        "simple_cidr_affinity",
        host(host_ip="10.0.1.7"),
        ask(hints={"build_near_host_ip": "10.0.0.9"}),
        "its address 10.0.1.7 is not in 10.0.0.0/24",
    ),
    (
        "simple_cidr_affinity",
        host(),
        ask(hints={"build_near_host_ip": "10.0.0.9", "cidr": "/99"}),
        "10.0.0.9/99 is not a network",
    ),
    ("io_ops", host(io_ops=8), ask(), "it does 8 of 8 heavy tasks"),
    ("num_instances", host(servers=50), ask(), "it has 50 of 50 servers"),
    ("isolated_hosts", host(), ask(settings=isolating()), "the host is for isolated images"),
    (
        "isolated_hosts",
        host("c2"),
        ask(settings=isolating(isolated_images=("i",)), properties={}),
        "the image is for isolated hosts",
    ),
    ("type_affinity", host(flavor_ids=("1", "7")), ask(), "it has servers of flavor 7"),
    ("json", host(ram_used=7000), query(">=", "$free_ram_mb", 1024), "the query does not hold"),
    ("json", host(), ask(hints={"query": "moon"}), "the query cannot be read"),
]


@pytest.mark.parametrize(("name", "full", "question", "words"), REFUSED)
def test_a_filter_says_why_it_refuses(name: str, full: Host, question: Ask, words: str) -> None:
    assert why(name, full, question) == words


def test_every_filter_that_can_refuse_is_among_those() -> None:
    assert {name for name, *_ in REFUSED} == set(FILTERS) - {"all_hosts"}


@pytest.mark.parametrize(
    ("name", "exact", "question"),
    [
        ("ram", host(ram_used=7488), ask(ram_mb=512)),
        ("core", host(vcpus_used=6), ask(vcpus=2)),
        ("disk", host(disk_gb_used=96), ask(disk_gb=4)),
        ("availability_zone", host(availability_zone="west"), ask(availability_zone="west")),
        ("availability_zone", host(aggregates=(aggregate(), aggregate("west"))), ask(availability_zone="west")),
        ("retry", host(), ask(tried=("c2",))),
        ("compute_capabilities", host(**X86), ask(extra_specs=AVX)),
        ("compute_capabilities", host(), ask(extra_specs={"hw:cpu_policy": "dedicated", "quota:cpu_shares": "1"})),
        ("compute_capabilities", host(hypervisor_type="QEMU"), ask(extra_specs={"hypervisor_type": "QEMU"})),
        ("image_properties", host(**X86), ask(properties={"architecture": "AMD64", "os_distro": "debian"})),
        ("image_properties", host(), ask(properties={"hypervisor_type": "kvm", "vm_mode": "hvm"})),
        (
            "image_properties",
            host(hypervisor_version=7_002_022),
            ask(properties={"img_hv_requested_version": ">=7.2.22,!=8,<9.0"}),
        ),
        ("server_group_affinity", host(), ask(group=Group("affinity", {"c2": 1, "c1": 2}))),
        ("server_group_affinity", host(), ask(group=Group("soft-affinity", {"c2": 1}))),
        ("server_group_anti_affinity", host(), ask(group=Group("anti-affinity", {"c2": 1}))),
        ("server_group_anti_affinity", host(), ask(group=Group("anti-affinity", {"c1": 2}, 3))),
        (
            "aggregate_instance_extra_specs",
            host(aggregates=(aggregate(ssd="false"), aggregate(ssd="x,true"))),
            ask(extra_specs={"aggregate_instance_extra_specs:ssd": "<or> yes <or> true"}),
        ),
        (
            "aggregate_image_properties_isolation",
            host(aggregates=(aggregate(os_type="linux, windows", other="x"),)),
            ask(properties={"os_type": "linux"}),
        ),
        (
            "aggregate_image_properties_isolation",
            host(aggregates=(aggregate(os_type="windows"),)),
            ask(
                properties={"os_type": "linux"},
                settings=msgspec.structs.replace(PLAIN, aggregate_image_properties_isolation_namespace="img"),
            ),
        ),
        ("aggregate_multitenancy_isolation", host(aggregates=(aggregate(filter_tenant_id="a, p"),)), ask()),
        ("aggregate_ram", host(aggregates=(aggregate(ram_allocation_ratio="much"),)), ask()),
        ("aggregate_ram", host(ram_used=8000, aggregates=(aggregate(ram_allocation_ratio="1.064"),)), ask()),
        ("aggregate_type_affinity", host(aggregates=(aggregate(instance_type="m1.huge, m1.tiny"),)), ask()),
        ("same_host", host(), ask(hints={"same_host": ("s1", "s2")}, homes={"s1": "c2", "s2": "c1"})),
        ("different_host", host(), ask(hints={"different_host": ("s1", "gone")}, homes={"s1": "c2"})),
        (
            "simple_cidr_affinity",
            host(host_ip="10.0.1.7"),
            ask(hints={"build_near_host_ip": "10.0.0.9", "cidr": "/16"}),
        ),
        ("isolated_hosts", host("c2"), ask(settings=isolating())),
        ("isolated_hosts", host(), ask(settings=isolating(restrict_isolated_hosts_to_isolated_images=False))),
        ("isolated_hosts", host(), ask(settings=isolating(isolated_images=("i",)), properties={})),
        ("type_affinity", host(flavor_ids=("1",)), ask()),
        ("json", host(), query("and", [">=", "$free_ram_mb", 1024], ["not", ["=", "$host", "c2"]])),
        ("json", host(**X86), query("=", "$cpu_info.arch", "x86_64")),
        ("json", host(), query("in", "$host", "c0", "c1")),
        ("json", host(), query("or", ["<", "$moon", 5], ["=", "$vcpus_total", 4])),
    ],
)
def test_what_just_fits_is_let_through(name: str, exact: Host, question: Ask) -> None:
    assert why(name, exact, question) is None


@pytest.mark.parametrize(
    ("value", "wanted", "is_met"),
    [
        ("4", "= 4", True),
        (5, "= 4", True),
        (3, "= 4", False),
        (4, "== 4.0", True),
        (4, "!= 4", False),
        ("many", "== 4", False),
        (4, "<= 4", True),
        (4, ">= 5", False),
        ("abc", "s== abc", True),
        ("abc", "s!= abc", False),
        ("abc", "s< abd", True),
        ("abc", "s<= abc", True),
        ("abc", "s> abc", False),
        ("abc", "s>= abc", True),
        (["aes", "avx"], "<in> avx", True),
        (["aes", "avx"], "<in> av", False),
        ("text with avx", "<in> avx", True),
        (["aes", "avx", "sse"], "<all-in> aes sse", True),
        (["aes", "avx"], "<all-in> aes sse", False),
        ("b", "<or> a <or> b", True),
        ("c", "<or> a <or> b", False),
        ("two words", "two words", True),
        ("4", "4", True),
        ("4.0", "4", False),
        ("x", "", False),
        (4, "==", False),
        ([], "<all-in>", False),
    ],
)
def test_extra_specs_have_novas_operators(value: object, wanted: str, is_met: bool) -> None:
    assert matches(value, wanted) is is_met


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "it is not a list in JSON"),
        ("[", "it is not a list in JSON"),
        ("[" * 1500, "it is not a list in JSON"),
        ("[]", "a list begins with one of = < > <= >= and or not in"),
        ('["import", "os"]', "a list begins with one of"),
        ('["=", {"a": 1}, 1]', "it has an object in it"),
        ('["not", ' * 9 + '["=", 1, 1]' + "]" * 9, "at most 8 lists in one another"),
        ('["="' + ", 1" * 64 + "]", "at most 64 terms"),
        ('["=", 1, "' + "x" * 4096 + '"]', "at most 4096 bytes"),
    ],
)
def test_a_query_is_bounded_and_can_do_nothing_but_compare(text: str, said: str) -> None:
    with pytest.raises(Invalid, match="scheduler hint query: ") as refused:
        parsed(text)
    assert said in str(refused.value)


def test_a_claim_is_held_by_the_ratios_of_the_hosts_aggregates_where_a_filter_that_is_on_reads_them() -> None:
    shared = host(aggregates=(aggregate(ram_allocation_ratio="3", cpu_allocation_ratio="1"),))
    settings = msgspec.structs.replace(PLAIN, filters=("aggregate_ram", "core"))

    ratios = ratios_of(shared, settings)

    assert (ratios.ram_allocation_ratio, ratios.cpu_allocation_ratio) == (3.0, PLAIN.cpu_allocation_ratio)
    assert ratios_of(shared, PLAIN) is PLAIN


def test_a_server_takes_root_ephemeral_and_swap_of_a_disk() -> None:
    assert Flavor(id="1", name="f", vcpus=1, ram_mb=1, disk_gb=10, ephemeral_gb=5, swap_mb=1025).claimed_disk_gb == 17


def test_filters_come_in_the_order_they_are_named() -> None:
    assert [one.name for one in named(("disk", "ram"))] == ["disk", "ram"]


def test_novas_names_will_do() -> None:
    names = (
        "RetryFilter",
        "AvailabilityZoneFilter",
        "SimpleCIDRAffinityFilter",
        "AggregateMultiTenancyIsolation",
        "AggregateInstanceExtraSpecsFilter",
        "nova.scheduler.filters.io_ops_filter.IoOpsFilter",
    )

    assert canonical(Scheduler(filters=names)).filters == (
        "retry",
        "availability_zone",
        "simple_cidr_affinity",
        "aggregate_multitenancy_isolation",
        "aggregate_instance_extra_specs",
        "io_ops",
    )


def test_a_filter_nobody_wrote_is_named_in_the_error() -> None:
    with pytest.raises(Invalid, match=r"scheduler\.filters: there is no filter 'moon'"):
        named(("ram", "moon"))
