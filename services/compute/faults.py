"""What a server's owner is told when a worker fails, and what he is not: values that may be secret stay out."""

import traceback
from http import HTTPStatus
from typing import Final

from novaflow.errors import NovaflowError
from novaflow.models import Fault

MESSAGE_LENGTH: Final = 255  # as Nova's column has it


def fault_of(error: Exception) -> Fault:
    """The fault to record. As in Nova an unexpected error is told by its class alone; the details say where, without values."""
    if isinstance(error, NovaflowError):
        return Fault(code=error.status, message=str(error)[:MESSAGE_LENGTH])
    places = traceback.extract_tb(error.__traceback__)
    where = "\n".join(f"{place.name}, line {place.lineno} of {_module(place.filename)}" for place in places)
    return Fault(code=HTTPStatus.INTERNAL_SERVER_ERROR, message=type(error).__name__, details=where)


def is_hosts_fault(error: Exception) -> bool:
    """Whether another host may fare better: anything but a refusal of what the user asked for."""
    return not isinstance(error, NovaflowError) or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _module(path: str) -> str:
    return "/".join(path.split("/")[-2:])
