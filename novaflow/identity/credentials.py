"""What the services log in with: a user of their own, whose password the first start of identity makes up.

It is kept in a file of the state directory; where services have none in common, the environment says it instead.
"""

import os
from pathlib import Path
from typing import Final

import msgspec

from novaflow.errors import ServiceUnavailable

SERVICE_USER: Final = "nova"
SERVICE_FILE: Final = "service-password"
SERVICE_PASSWORD: Final = "NOVAFLOW_SERVICE_PASSWORD"  # noqa: S105 - the variable's name


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """A user of the default domain with its password and project."""

    username: str
    password: str
    project: str

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, project={self.project!r})"


def from_environment(project: str) -> Credentials | None:
    """The services' credentials, if the environment has them."""
    password = os.environ.get(SERVICE_PASSWORD)
    return Credentials(username=SERVICE_USER, password=password, project=project) if password else None


def read(state_dir: Path, project: str) -> Credentials:
    """The services' credentials from wherever they are. Raises ServiceUnavailable as long as they are nowhere."""
    path = state_dir / SERVICE_FILE
    try:
        return from_environment(project) or msgspec.json.decode(path.read_bytes(), type=Credentials)
    except OSError as error:
        raise ServiceUnavailable(service="identity", reason=f"it has not written {path} yet") from error
    except msgspec.DecodeError as error:
        raise ServiceUnavailable(
            service="identity", reason=f"{path} does not hold the services' credentials"
        ) from error
