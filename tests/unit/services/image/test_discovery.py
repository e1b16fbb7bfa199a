"""What clients find out about the service, and how it refuses."""

import pytest

from tests.support.image_service import ALICE, ImageService

HTML = """<html>
 <head>
  <title>404 Not Found</title>
 </head>
 <body>
  <h1>404 Not Found</h1>
  No image found with ID &lt;x&gt;<br /><br />



 </body>
</html>"""


@pytest.mark.parametrize(("path", "status"), [("/", 300), ("/versions", 200), ("/v1/images", 300), ("/v9", 300)])
async def test_the_versions_are_public(service: ImageService, path: str, status: int) -> None:
    async with service.http.get(f"{service.url}{path}") as response:
        versions = (await response.json())["versions"]

    assert response.status == status
    assert versions[0] == {
        "id": "v2.9",
        "status": "CURRENT",
        "links": [{"rel": "self", "href": f"{service.url}/v2/"}],
    }
    assert [each["status"] for each in versions].count("CURRENT") == 1


async def test_the_service_says_that_it_lives(service: ImageService) -> None:
    async with service.http.get(f"{service.url}/healthcheck") as response:
        assert (response.status, await response.text()) == (200, "OK")


@pytest.mark.parametrize("path", ["/v2/images", "/v2/", "/v2", "/v2/schemas/image", "/v2/info/import"])
async def test_all_else_needs_a_token(service: ImageService, path: str) -> None:
    async with service.http.get(f"{service.url}{path}") as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Keystone uri=")


@pytest.mark.parametrize("name", ["image", "images", "member", "members"])
async def test_the_schemas_are_served(service: ImageService, name: str) -> None:
    status, schema = await service.ask("GET", f"/v2/schemas/{name}")

    assert (status, schema["name"]) == (200, name)
    assert schema["properties"]


async def test_what_is_not_there_is_not_claimed(service: ImageService) -> None:
    status, methods = await service.ask("GET", "/v2/info/import")
    assert (status, methods["import-methods"]["value"]) == (200, [])

    status, body = await service.ask("GET", "/v2/info/stores")
    assert status == 404
    assert "Multi backend is not supported at this site." in body["message"]
    assert (await service.ask("GET", "/v2/schemas/nothing"))[0] == 404
    assert (await service.ask("GET", "/v2/nothing"))[0] == 404


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/v2/images"), ("POST", "/v2/info/import"), ("PUT", "/v2/schemas/image")]
)
async def test_a_method_that_means_nothing_is_told_which_do(service: ImageService, method: str, path: str) -> None:
    headers = {"X-Auth-Token": ALICE, "Accept": "application/json"}
    async with service.http.request(method, f"{service.url}{path}", headers=headers) as response:
        body = await response.json()

    assert response.status == 405
    assert "GET" in response.headers["Allow"]
    assert body["message"].startswith(f"The method {method} is not allowed for this resource.")


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", "text/html"),
        ("*/*", "text/html"),
        ("text/html, application/json", "text/html"),
        ("application/json", "application/json"),
        ("application/json, */*;q=0.5", "application/json"),
        ("text/html;q=0, */*", "application/json"),
        ("application/*", "application/json"),
        ("image/png", "text/plain"),
        ("*/*;q=nonsense", "text/plain"),
    ],
)
async def test_refusals_come_as_the_client_reads_them(service: ImageService, accept: str, media: str) -> None:
    headers = {"X-Auth-Token": ALICE, "Accept": accept}
    async with service.http.get(f"{service.url}/v2/images/%3Cx%3E", headers=headers) as response:
        text = await response.text()

    assert (response.status, response.content_type) == (404, media)
    if media == "text/html":
        assert text == HTML
    elif media == "text/plain":
        assert text == "404 Not Found\n\nNo image found with ID \n\n\n"


async def test_every_request_is_a_span_with_its_status(service: ImageService) -> None:
    await service.ask("GET", "/v2/images/nope")

    (span,) = [each for each in service.spans.found if each.name == "GET /v2/images/nope"]
    assert (span.kind, span.attributes["status"]) == ("http.server", 404)
