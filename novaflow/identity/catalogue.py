"""The service catalogue as a token's owner sees it, in the forms of both API versions.

URLs may hold `$(project_id)s` or `%(tenant_id)s` (and user_id): they are filled in from the token, and an endpoint that
needs a project is left out of a catalogue without one, as keystone.catalog.backends.sql does.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from novaflow.identity.models import Endpoint, Service

Form = Callable[[Iterable[Service], Sequence[Endpoint], Mapping[str, str]], list[dict[str, object]]]

INTERFACES: Final = ("public", "internal", "admin")
_PLACE: Final = re.compile(r"[$%]\((\w+)\)s")
_PLACES: Final = frozenset({"project_id", "tenant_id", "user_id"})
_V3: Final = re.compile(r"/v3/?$")


def has_valid_places(url: str) -> bool:
    """Whether every placeholder of a URL is complete and one that can be filled in."""
    return all(name in _PLACES for name in _PLACE.findall(url)) and not re.search(r"[$%]\(|%$", _PLACE.sub("", url))


def expand(url: str, facts: Mapping[str, str]) -> str | None:
    """The URL with its placeholders filled in; None when a fact is missing."""
    if any(name not in facts for name in _PLACE.findall(url)):
        return None
    return _PLACE.sub(lambda place: facts[place[1]], url)


def facts_of(user_id: str, project_id: str | None) -> dict[str, str]:
    """What a token has to fill in."""
    facts = {"user_id": user_id}
    if project_id:
        facts |= {"project_id": project_id, "tenant_id": project_id}
    return facts


def v3_catalogue(
    services: Iterable[Service], endpoints: Sequence[Endpoint], facts: Mapping[str, str]
) -> list[dict[str, object]]:
    """The `catalog` of a v3 token: one entry a service, one endpoint an interface and region."""
    return [
        {
            "id": service.id,
            "type": service.type,
            "name": service.name or "",
            "endpoints": [
                {
                    "id": endpoint.id,
                    "interface": endpoint.interface,
                    "region": endpoint.region_id,
                    "region_id": endpoint.region_id,
                    "url": url,
                }
                for endpoint, url in _visible(service, endpoints, facts)
            ],
        }
        for service in services
        if service.enabled
    ]


def v2_catalogue(
    services: Iterable[Service], endpoints: Sequence[Endpoint], facts: Mapping[str, str]
) -> list[dict[str, object]]:
    """The `serviceCatalog` of a v2.0 token: endpoints by region with publicURL, internalURL and adminURL.

    The identity service itself shows its /v2.0 here: clients of 2014 use that URL as it stands.
    """
    entries: list[dict[str, object]] = []
    for service in services:
        regions: dict[str | None, dict[str, object]] = {}
        for endpoint, url in _visible(service, endpoints, facts):
            found = regions.setdefault(endpoint.region_id, {"region": endpoint.region_id, "id": endpoint.id})
            found[f"{endpoint.interface}URL"] = _V3.sub("/v2.0", url) if service.type == "identity" else url
        if service.enabled and regions:
            entries.append(
                {
                    "endpoints": list(regions.values()),
                    "endpoints_links": [],
                    "type": service.type,
                    "name": service.name or "",
                }
            )
    return entries


def _visible(
    service: Service, endpoints: Iterable[Endpoint], facts: Mapping[str, str]
) -> Iterable[tuple[Endpoint, str]]:
    for endpoint in endpoints:
        if endpoint.service_id == service.id and endpoint.enabled:
            url = expand(endpoint.url, facts)
            if url is not None:
                yield endpoint, url
