"""Which versions there are, with links that lead back the way the client came."""

from tests.support.identity import IdentityWorld


async def test_the_root_offers_both_versions(world: IdentityWorld) -> None:
    reply = await world.ask("GET", "/", token="")

    values = reply.body["versions"]["values"]
    assert reply.status == 300
    assert reply.headers["Location"] == f"{world.url}/v3/"
    assert [(value["id"], value["status"]) for value in values] == [("v3.14", "stable"), ("v2.0", "deprecated")]
    assert [value["links"][0]["href"] for value in values] == [f"{world.url}/v3/", f"{world.url}/v2.0/"]


async def test_links_are_made_from_the_host_the_client_asked(world: IdentityWorld) -> None:
    reply = await world.ask("GET", "/v3", token="", headers={"Host": "identity.example.org:8000"})

    assert reply.body["version"]["links"] == [{"rel": "self", "href": "http://identity.example.org:8000/v3/"}]


async def test_both_ports_serve_both_versions(world: IdentityWorld) -> None:
    for base in (world.url, world.admin_url):
        for version in ("v3", "v2.0"):
            found = (await world.get(f"{base}/{version}", token=""))["version"]
            assert found["links"][0]["href"] == f"{base}/{version}/"


async def test_extensions_are_listed_and_shown(world: IdentityWorld) -> None:
    listed = (await world.get("/v2.0/extensions", token=""))["extensions"]["values"]

    assert [extension["alias"] for extension in listed] == ["OS-KSADM", "OS-KSCRUD", "OS-EC2"]
    assert await world.get("/v2.0/extensions/OS-KSADM", token="") == {"extension": listed[0]}
    assert (await world.ask("GET", "/v2.0/extensions/none", token="")).status == 404
