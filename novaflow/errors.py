"""Every expected failure of the cloud: one small family that HTTP and the bus can both carry.

An error has a `code` for programs, an HTTP `status`, a `text` for people and typed fields for both. `code`
and fields cross the bus; the receiving side finds the class in `REGISTRY`, which is closed: it
holds the classes of this file and no message can add to it. An exception that is not of this family is a
bug or an outage, and stays one.
"""

from dataclasses import dataclass, field, fields
from http import HTTPStatus
from typing import ClassVar, Final


@dataclass(eq=False, kw_only=True)
class NovaflowError(Exception):
    """The family. Subclasses are keyword-only dataclasses whose fields fill `text`."""

    code: ClassVar[str] = "internal"
    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    text: ClassVar[str] = "unexpected failure"

    def __str__(self) -> str:
        return self.text.format(**self.facts())

    def facts(self) -> dict[str, object]:
        """The fields by name: JSON-ready values only."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(eq=False, kw_only=True)
class Invalid(NovaflowError):
    """The request says something that cannot be; `reason` names the field and what is wrong with it."""

    code = "invalid"
    status = HTTPStatus.BAD_REQUEST
    text = "{reason}"

    reason: str


@dataclass(eq=False, kw_only=True)
class NoSuchImage(Invalid):
    """The request names an image that is not there, or that the caller may not see."""

    code = "no_such_image"


@dataclass(eq=False, kw_only=True)
class NotFound(NovaflowError):
    """No such thing, or none that the caller may see."""

    code = "not_found"
    status = HTTPStatus.NOT_FOUND
    text = "{kind} {key} could not be found."

    kind: str
    key: str


@dataclass(eq=False, kw_only=True)
class Missing(NovaflowError):
    """No such part of a thing that is there: a flavor's property, a user's key. `reason` is the whole sentence."""

    code = "missing"
    status = HTTPStatus.NOT_FOUND
    text = "{reason}"

    reason: str


@dataclass(eq=False, kw_only=True)
class Conflict(NovaflowError):
    """The request clashes with what is there already: a duplicate name, a thing in use."""

    code = "conflict"
    status = HTTPStatus.CONFLICT
    text = "{reason}"

    reason: str


@dataclass(eq=False, kw_only=True)
class TokenMismatch(NovaflowError):
    """A client token that was used with another request."""

    code = "token_mismatch"
    status = HTTPStatus.CONFLICT
    text = "The client token {token} was used with other arguments in a previous request."

    token: str


@dataclass(eq=False, kw_only=True)
class Forbidden(NovaflowError):
    """The caller is known and may not do this. `rule` is the policy that says so."""

    code = "forbidden"
    status = HTTPStatus.FORBIDDEN
    text = "Policy doesn't allow {rule} to be performed."

    rule: str


@dataclass(eq=False, kw_only=True)
class Protected(NovaflowError):
    """No one may do this to that thing as it is now, whatever his rights; `reason` says what to do first."""

    code = "protected"
    status = HTTPStatus.FORBIDDEN
    text = "{reason}"

    reason: str


@dataclass(eq=False, kw_only=True)
class Unauthorized(NovaflowError):
    """No valid credentials. Says nothing about which part was wrong, on purpose."""

    code = "unauthorized"
    status = HTTPStatus.UNAUTHORIZED
    text = "The request you have made requires authentication."


@dataclass(eq=False, kw_only=True)
class SignatureRefused(NovaflowError):
    """A signed request that its key did not sign like this, or not for now; `ec2_code` is Amazon's name for what is wrong."""

    code = "signature_refused"
    status = HTTPStatus.UNAUTHORIZED
    text = "{reason}"

    ec2_code: str
    reason: str


@dataclass(eq=False, kw_only=True)
class QuotaExceeded(NovaflowError):
    """A project asked for more than its quota leaves."""

    code = "quota_exceeded"
    status = HTTPStatus.FORBIDDEN
    text = "Quota exceeded for {resource}: Requested {asked}, but already used {used} of {limit} {resource}"

    resource: str
    asked: int
    used: int
    limit: int


@dataclass(eq=False, kw_only=True)
class LimitExceeded(NovaflowError):
    """One request asks for more than one thing may have: too many metadata items, too large a file. `reason` says which."""

    code = "limit_exceeded"
    status = HTTPStatus.FORBIDDEN
    text = "{reason}"

    reason: str


@dataclass(eq=False, kw_only=True)
class TooLarge(NovaflowError):
    """The body or an upload is larger than this service takes."""

    code = "too_large"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    text = "{what} is larger than the {limit} bytes allowed"

    what: str
    limit: int


@dataclass(eq=False, kw_only=True)
class WrongState(NovaflowError):
    """The server's state does not allow this action now (Nova's InstanceInvalidState)."""

    code = "wrong_state"
    status = HTTPStatus.CONFLICT
    text = "Cannot '{action}' instance {server_id} while it is in {attribute} {state}"

    action: str
    server_id: str
    attribute: str  # vm_state or task_state
    state: str


@dataclass(eq=False, kw_only=True)
class Locked(NovaflowError):
    """A server is locked and whoever asks is no administrator (nova/exception.py, InstanceIsLocked)."""

    code = "locked"
    status = HTTPStatus.CONFLICT
    text = "Instance {server_id} is locked"

    server_id: str


@dataclass(eq=False, kw_only=True)
class NeverActive(NovaflowError):
    """An action needs a server that was active once (nova/api/openstack/common.py)."""

    code = "never_active"
    status = HTTPStatus.CONFLICT
    text = "Cannot '{action}' an instance which has never been active"

    action: str


@dataclass(eq=False, kw_only=True)
class IllegalTransition(NovaflowError):
    """The state table has no row for this event in this state."""

    code = "illegal_transition"
    status = HTTPStatus.CONFLICT
    text = "no rule moves a server from {vm_state}/{task_state} on {event}"

    vm_state: str
    task_state: str | None
    event: str


@dataclass(eq=False, kw_only=True)
class TaskSuperseded(NovaflowError):
    """The server belongs to another task now, or is gone: whoever hears this stops and cleans up."""

    code = "task_superseded"
    status = HTTPStatus.CONFLICT
    text = "task {task_id} no longer owns server {server_id}"

    server_id: str
    task_id: str


@dataclass(eq=False, kw_only=True)
class OrderAborted(NovaflowError):
    """Whoever ordered it does not want it any more, and it was not too late."""

    code = "order_aborted"
    status = HTTPStatus.CONFLICT
    text = "task {task_id} of server {server_id} was aborted"

    server_id: str
    task_id: str


@dataclass(eq=False, kw_only=True)
class BuildGivenUp(NovaflowError):
    """A build was started on a host again and again and never ended, as one that makes its worker die would be."""

    code = "build_given_up"
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    text = "The build of server {server_id} was started {times} times on host {host} and never finished."

    server_id: str
    host: str
    times: int


@dataclass(eq=False, kw_only=True)
class NoValidHost(NovaflowError):
    """No host takes this server; `refusals` says why, host by host."""

    code = "no_valid_host"
    status = HTTPStatus.CONFLICT
    text = "No valid host was found. {refusals}"

    refusals: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False, kw_only=True)
class ImageRefused(NovaflowError):
    """Image data that is not what it claims to be, or would read files it must not."""

    code = "image_refused"
    status = HTTPStatus.BAD_REQUEST
    text = "Image {image_id} is refused: {reason}"

    image_id: str
    reason: str


@dataclass(eq=False, kw_only=True)
class ServiceUnavailable(NovaflowError):
    """Another service did not answer in time, or not sensibly."""

    code = "service_unavailable"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    text = "{service} is not available: {reason}"

    service: str
    reason: str


@dataclass(eq=False, kw_only=True)
class GuestFailed(NovaflowError):
    """The hypervisor could not do what was asked of a guest."""

    code = "guest_failed"
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    text = "{operation} failed for {server_id}: {reason}"

    operation: str
    server_id: str
    reason: str


REGISTRY: Final[dict[str, type[NovaflowError]]] = {
    error.code: error
    for error in (
        Invalid,
        NoSuchImage,
        NotFound,
        Missing,
        Conflict,
        TokenMismatch,
        Forbidden,
        Protected,
        Unauthorized,
        SignatureRefused,
        QuotaExceeded,
        LimitExceeded,
        TooLarge,
        WrongState,
        Locked,
        NeverActive,
        IllegalTransition,
        TaskSuperseded,
        OrderAborted,
        BuildGivenUp,
        NoValidHost,
        ImageRefused,
        ServiceUnavailable,
        GuestFailed,
    )
}


class Codec:
    """How the family crosses the bus (see rpc.errors.ErrorCodec)."""

    def encode(self, error: Exception) -> tuple[str, dict[str, object]] | None:
        """Code and fields of an expected error; None for any other exception."""
        return (error.code, error.facts()) if isinstance(error, NovaflowError) else None

    def decode(self, code: str, fields: dict[str, object]) -> Exception | None:
        """The error that `code` names; None when the code is unknown or the fields do not fit."""
        found = REGISTRY.get(code)
        try:
            return found(**fields) if found else None
        except TypeError:
            return None
