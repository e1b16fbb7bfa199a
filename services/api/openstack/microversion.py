"""Which microversion of the API a request speaks.

A client asks with `OpenStack-API-Version: compute 2.N` (or the older `X-OpenStack-Nova-API-Version: 2.N`); without either it
speaks 2.1. Sources: nova/api/openstack/wsgi.py, nova/api/openstack/api_version_request.py, microversion_parse.
"""

import functools
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from services.api.openstack.faults import HttpFault

Version = tuple[int, int]

MIN: Final[Version] = (2, 1)
MAX: Final[Version] = (2, 37)
HEADER: Final = "OpenStack-API-Version"
OLD_HEADER: Final = "X-OpenStack-Nova-API-Version"
VARY: Final = f"{HEADER}, {OLD_HEADER}"

_FORM = re.compile(r"([1-9]\d{0,5})\.([1-9]\d{0,5}|0)")


def text(version: Version) -> str:
    """As it stands in a header: `2.37`."""
    return f"{version[0]}.{version[1]}"


def negotiate(headers: Mapping[str, str]) -> Version:
    """The version that a request speaks; HttpFault 400 for what is no version, 406 for one this cloud does not have."""
    asked = _asked(headers)
    if asked is None:
        return MIN
    if asked == "latest":
        return MAX
    form = _FORM.fullmatch(asked)
    if form is None:
        said = f"API Version String {asked} is of invalid format. Must be of format MajorNum.MinorNum."
        raise HttpFault(HTTPStatus.BAD_REQUEST, said)
    version = (int(form[1]), int(form[2]))
    if not MIN <= version <= MAX:
        raise HttpFault(
            HTTPStatus.NOT_ACCEPTABLE,
            f"Version {asked} is not supported by the API. Minimum is {text(MIN)} and maximum is {text(MAX)}.",
        )
    return version


@functools.cache
def echo(version: Version) -> Mapping[str, str]:
    """The headers that tell the client which version answered."""
    return {HEADER: f"compute {text(version)}", OLD_HEADER: text(version), "Vary": VARY}


def _asked(headers: Mapping[str, str]) -> str | None:
    """What the headers say of the compute service; other services may be named beside it, separated by commas."""
    for part in headers.get(HEADER, "").split(","):
        service, _, version = part.strip().partition(" ")
        if service.lower() == "compute":
            return version.strip()
    old = headers.get(OLD_HEADER)
    return old.strip() if old is not None else None
