"""When a signed request counts: not long before or after it was made, or until it says that it ends.

Nova gave a request 300 seconds (nova/api/ec2/ec2utils.py, is_ec2_timestamp_expired); a presigned one lives for as long as it
says, at most seven days (Amazon's bound for X-Amz-Expires). A request without a time would count for ever and is refused.
"""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from novaflow.errors import SignatureRefused
from novaflow.identity.ec2_requests import SignedRequest

SKEW: Final = timedelta(seconds=300)
MAX_EXPIRES: Final = 7 * 24 * 3600  # seconds

_V4_FORM: Final = "%Y%m%dT%H%M%SZ"
_EXPIRED: Final = "RequestExpired"


def check_v2(request: SignedRequest, now: datetime) -> None:
    """Raises SignatureRefused if a request of version 2 does not count now: by its Timestamp, or by when it Expires."""
    made, ends = request.params.get("Timestamp"), request.params.get("Expires")
    if (made is None) == (ends is None):
        raise SignatureRefused(
            ec2_code="MissingParameter" if made is None else "InvalidParameterCombination",
            reason="The request must contain either Timestamp or Expires.",
        )
    if made is not None:
        _check_skew(_iso(made, "Timestamp"), now)
    elif ends is not None:
        end = _iso(ends, "Expires")
        if now > end:
            raise SignatureRefused(ec2_code=_EXPIRED, reason=f"Request has expired. Expires date is {ends}.")
        if end - now > timedelta(seconds=MAX_EXPIRES) + SKEW:
            raise SignatureRefused(
                ec2_code="AuthorizationQueryParametersError",
                reason=f"Expires must be less than {MAX_EXPIRES} seconds away.",
            )


def check_v4(request: SignedRequest, made: datetime, now: datetime) -> None:
    """Raises SignatureRefused if a request of version 4 does not count now: near its date, or as long as X-Amz-Expires says."""
    if request.is_signed_by_header:
        _check_skew(made, now)
        return
    lasts = request.params.get("X-Amz-Expires", "")
    if not (lasts.isascii() and lasts.isdecimal() and len(lasts) <= len(str(MAX_EXPIRES))):
        raise _wrong_expires()
    if not 1 <= int(lasts) <= MAX_EXPIRES:
        raise _wrong_expires()
    if made - now > SKEW:
        raise SignatureRefused(ec2_code=_EXPIRED, reason="Request is not yet valid.")
    if now - made > timedelta(seconds=int(lasts)):
        raise SignatureRefused(ec2_code=_EXPIRED, reason="Request has expired.")


def longest_life(request: SignedRequest) -> timedelta:
    """For how long from now a signature that counts now could count at most, by clocks that differ by SKEW."""
    is_dated = request.is_signed_by_header if request.is_version_4 else "Timestamp" in request.params
    return 3 * SKEW if is_dated else timedelta(seconds=MAX_EXPIRES) + 3 * SKEW


def date_of(request: SignedRequest) -> datetime:
    """When a request of version 4 says it was made: X-Amz-Date, or the Date header. Raises SignatureRefused."""
    if not request.is_signed_by_header:
        return _v4_date(request.params.get("X-Amz-Date", ""))
    stamped = request.header("x-amz-date") or request.params.get("X-Amz-Date")
    if stamped is not None:
        return _v4_date(stamped)
    try:
        made = parsedate_to_datetime(request.header("date") or "")
    except (ValueError, OverflowError) as error:
        raise _no_date() from error
    return _utc(made, "Date")


def v4_stamp(moment: datetime) -> str:
    """A time as version 4 writes it."""
    return moment.strftime(_V4_FORM)


def _check_skew(made: datetime, now: datetime) -> None:
    if abs(now - made) > SKEW:
        when = "expired" if made < now else "not yet valid"
        raise SignatureRefused(
            ec2_code=_EXPIRED, reason=f"Request is {when}: it is dated more than {SKEW.seconds} seconds away."
        )


def _v4_date(text: str) -> datetime:
    try:
        made = datetime.strptime(text, _V4_FORM).replace(tzinfo=UTC)
    except ValueError as error:
        raise _no_date() from error
    if v4_stamp(made) != text:  # strptime forgives missing zeros, and the text is part of what is signed
        raise _no_date()
    return made


def _iso(text: str, name: str) -> datetime:
    try:
        return _utc(datetime.fromisoformat(text), name)
    except ValueError as error:
        raise SignatureRefused(
            ec2_code="InvalidParameterValue", reason=f"Value for parameter {name} is invalid: not a time of ISO 8601."
        ) from error


def _utc(moment: datetime, name: str) -> datetime:
    """Of a moment without a timezone it is said that it is UTC."""
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError as error:
        raise SignatureRefused(
            ec2_code="InvalidParameterValue", reason=f"Value for parameter {name} is invalid: out of range."
        ) from error


def _no_date() -> SignatureRefused:
    return SignatureRefused(
        ec2_code="IncompleteSignature", reason="Date must be in X-Amz-Date, in the form YYYYMMDD'T'HHMMSS'Z'."
    )


def _wrong_expires() -> SignatureRefused:
    return SignatureRefused(
        ec2_code="AuthorizationQueryParametersError",
        reason=f"X-Amz-Expires must be a number of seconds from 1 to {MAX_EXPIRES}.",
    )
