"""Errors as EC2's clients expect them: a code that programs read, a sentence for people, and the request's id.

What the cloud refuses becomes the code that Amazon documents for it. Anything unexpected is logged once, here, and answered with a
sentence that gives nothing away. Source: Amazon EC2 API Reference (error codes), nova/api/ec2/__init__.py (ec2_error_ex).
"""

import logging
from http import HTTPStatus
from typing import Final

from aiohttp import web

from novaflow import errors
from rpc.errors import CallTimeout, NotConnected, Unroutable
from services.api.ec2.xml import refusal
from services.web import REQUEST_ID, Handler

log = logging.getLogger(__name__)

_STATUSES: Final = {
    "AuthFailure": HTTPStatus.UNAUTHORIZED,
    "SignatureDoesNotMatch": HTTPStatus.FORBIDDEN,
    "MissingAuthenticationToken": HTTPStatus.FORBIDDEN,
    "UnauthorizedOperation": HTTPStatus.FORBIDDEN,
    "DryRunOperation": HTTPStatus.PRECONDITION_FAILED,
    "RequestLimitExceeded": HTTPStatus.SERVICE_UNAVAILABLE,
    "InternalError": HTTPStatus.INTERNAL_SERVER_ERROR,
    "Unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
}
_UNEXPECTED: Final = "An internal error has occurred. The id of the request finds it in the logs."
_LIMITS: Final = {
    "instances": "InstanceLimitExceeded",
    "cores": "InstanceLimitExceeded",
    "ram": "InstanceLimitExceeded",
    "volumes": "VolumeLimitExceeded",
    "gigabytes": "VolumeLimitExceeded",
    "snapshots": "SnapshotLimitExceeded",
}

_NOT_FOUND: Final = {
    "Instance": "InvalidInstanceID.NotFound",
    "Volume": "InvalidVolume.NotFound",
    "Snapshot": "InvalidSnapshot.NotFound",
}
"""Of what was there when the request was read, and went before it was carried out."""

_CODES: Final[dict[type[errors.NovaflowError], str]] = {
    errors.NoSuchImage: "InvalidAMIID.NotFound",
    errors.LimitExceeded: "ResourceLimitExceeded",
    errors.TooLarge: "ResourceLimitExceeded",
    errors.WrongState: "IncorrectInstanceState",
    errors.NeverActive: "IncorrectInstanceState",
    errors.IllegalTransition: "IncorrectInstanceState",
    errors.TaskSuperseded: "IncorrectInstanceState",
    errors.Locked: "OperationNotPermitted",
    errors.Protected: "OperationNotPermitted",
    errors.TokenMismatch: "IdempotentParameterMismatch",
    errors.Conflict: "IncorrectState",
    errors.ServiceUnavailable: "Unavailable",
}


class Ec2Error(Exception):
    """A refusal by its EC2 code; `message` is for people. The status is the code's: 400 unless Amazon says otherwise."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def status(self) -> HTTPStatus:
        """The HTTP status that goes with the code."""
        return _STATUSES.get(self.code, HTTPStatus.BAD_REQUEST)


def missing_parameter(name: str) -> Ec2Error:
    """A parameter that must be there is not."""
    return Ec2Error("MissingParameter", f"The request must contain the parameter {name}")


def invalid_value(name: str, why: str) -> Ec2Error:
    """A parameter says what it cannot say."""
    return Ec2Error("InvalidParameterValue", f"Value for parameter {name} is invalid. {why}")


@web.middleware
async def faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into the XML that clients expect."""
    try:
        return await handler(request)
    except Ec2Error as error:
        return _answer(request, error)
    except errors.NovaflowError as error:
        if error.status is HTTPStatus.INTERNAL_SERVER_ERROR:
            return _unexpected(request, error)
        return _answer(request, translated(error))
    except web.HTTPException as error:
        return _answer(request, _of_http(error))
    except (CallTimeout, NotConnected, Unroutable) as outage:
        log.warning("%s %s: the bus failed: %s", request.method, request.path, outage)
        return _answer(request, Ec2Error("Unavailable", "The compute hosts cannot be reached."))
    except Exception as error:  # the last resort of a front door: nothing of it may reach the client
        return _unexpected(request, error)


def translated(error: errors.NovaflowError) -> Ec2Error:
    """The EC2 code for what an operation refused; its own sentence stays, unless it speaks of rules and tokens."""
    if isinstance(error, errors.SignatureRefused):
        return Ec2Error(error.ec2_code, str(error))
    if isinstance(error, errors.Unauthorized):
        return Ec2Error("AuthFailure", "Not able to validate the provided access credentials.")
    if isinstance(error, errors.Forbidden):
        return Ec2Error("UnauthorizedOperation", "You are not authorized to perform this operation.")
    if isinstance(error, errors.NotFound):
        return Ec2Error(_NOT_FOUND.get(error.kind, "InvalidParameterValue"), str(error))
    if isinstance(error, errors.QuotaExceeded):
        return Ec2Error(_LIMITS.get(error.resource, "ResourceLimitExceeded"), str(error))
    return Ec2Error(_CODES.get(type(error), "InvalidParameterValue"), str(error))


def _of_http(error: web.HTTPException) -> Ec2Error:
    """A refusal of the HTTP library: a body that is too large, a url that is nobody's."""
    if error.status < HTTPStatus.BAD_REQUEST:
        raise error
    if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Ec2Error("InvalidParameterValue", "The request is too large.")
    return Ec2Error("InvalidRequest", f"The request cannot be served: {error.reason}.")


def _answer(request: web.Request, error: Ec2Error) -> web.Response:
    return refusal(error.code, error.message, request[REQUEST_ID], error.status)


def _unexpected(request: web.Request, error: Exception) -> web.Response:
    log.error("%s %s failed (%s)", request.method, request.path, request.get(REQUEST_ID), exc_info=error)
    return _answer(request, Ec2Error("InternalError", _UNEXPECTED))
