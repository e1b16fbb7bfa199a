"""What clients probe for before they use it."""

import pytest

from tests.support.compute_api import ComputeApi


async def test_what_is_listed_can_be_shown(api: ComputeApi) -> None:
    listed = (await api.get("/extensions", who="alice"))["extensions"]

    assert {"os-keypairs", "os-hypervisors", "os-quota-sets"} <= {extension["alias"] for extension in listed}
    for extension in listed:
        assert await api.get(f"/extensions/{extension['alias']}", who="alice") == {"extension": extension}
        assert set(extension) == {"alias", "name", "description", "links", "namespace", "updated"}


async def test_what_is_not_here_is_not_found(api: ComputeApi) -> None:
    assert (await api.ask("GET", "/extensions/os-cells", who="alice")).status == 404


@pytest.mark.parametrize("path", ["/extensions", "/flavors", "/os-keypairs", "/limits", "/os-services"])
async def test_nothing_answers_without_a_token(api: ComputeApi, path: str) -> None:
    assert (await api.ask("GET", path, who="nobody")).status == 401
