"""Quotas as pure arithmetic."""

from hypothesis import given
from hypothesis import strategies as st

from novaflow.models import Flavor
from novaflow.quotas import QuotaLimits, Usage, ask_of, largest_count, refusal, with_overrides

counts = st.integers(0, 40)
limits = st.integers(-1, 60)


def flavor(vcpus: int = 2, ram_mb: int = 512) -> Flavor:
    return Flavor(id="f", name="f", vcpus=vcpus, ram_mb=ram_mb, disk_gb=1)


def test_an_ask_is_the_sum_of_its_flavors() -> None:
    assert ask_of([flavor(1, 10), flavor(2, 20)]) == Usage(instances=2, cores=3, ram=30)
    assert ask_of([]) == Usage()


def test_the_first_resource_over_its_limit_is_named() -> None:
    ask = Usage(instances=1, cores=2, ram=512)

    refused = refusal(Usage(instances=1, cores=3, ram=0), QuotaLimits(instances=2, cores=4, ram=1), ask)

    assert refused is not None
    assert refused.facts() == {"resource": "cores", "asked": 2, "used": 3, "limit": 4}
    assert str(refused) == "Quota exceeded for cores: Requested 2, but already used 3 of 4 cores"


def test_what_is_not_asked_for_may_be_over_its_limit() -> None:
    over = Usage(instances=9, cores=9, ram=9, key_pairs=9)

    assert refusal(over, QuotaLimits(instances=1, cores=1, ram=1, key_pairs=10), Usage(key_pairs=1)) is None


@given(instances=limits, cores=limits, ram=limits, used=counts, vcpus=st.integers(0, 8), at_most=st.integers(0, 50))
def test_the_largest_count_fits_and_one_more_does_not(
    instances: int, cores: int, ram: int, used: int, vcpus: int, at_most: int
) -> None:
    quota = QuotaLimits(instances=instances, cores=cores, ram=ram)
    usage = Usage(instances=used, cores=used, ram=used)
    size = flavor(vcpus, 1)

    count = largest_count(usage, quota, size, at_most)

    assert 0 <= count <= at_most
    assert count == 0 or refusal(usage, quota, ask_of([size] * count)) is None
    assert count == at_most or refusal(usage, quota, ask_of([size] * (count + 1))) is not None


def test_overrides_replace_only_what_they_name() -> None:
    assert with_overrides(QuotaLimits(), {"cores": -1}) == QuotaLimits(cores=-1)
    assert with_overrides(QuotaLimits(), {}) == QuotaLimits()
