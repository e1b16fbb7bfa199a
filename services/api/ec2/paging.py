"""MaxResults and NextToken: a list in pages, each after the last thing of the one before.

Things are in the order of their numbers, which are never used again, so what is made or ends meanwhile does not shift the rest.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from services.api.ec2.errors import Ec2Error
from services.api.ec2.protocol import Params

T = TypeVar("T")

MAX_RESULTS: Final = 1000
_MARK: Final = b"after:"


def paged(things: Iterable[T], number: Callable[[T], int], params: Params) -> tuple[Sequence[T], str | None]:
    """The page that `params` ask for, and the token of the next one; everything where no size is asked for.

    Raises InvalidParameterValue, InvalidNextToken.
    """
    after = _after(params.text("NextToken", ""))
    rest = sorted((thing for thing in things if number(thing) > after), key=number)
    size = params.number("MaxResults", 0, most=10 * MAX_RESULTS)
    if not size:
        return rest, None
    page = rest[: min(size, MAX_RESULTS)]
    return page, _token(number(page[-1])) if len(page) < len(rest) else None


def _token(number: int) -> str:
    return base64.urlsafe_b64encode(_MARK + str(number).encode()).decode()


def _after(token: str) -> int:
    if not token:
        return -1
    try:
        decoded = base64.b64decode(token, altchars=b"-_", validate=True)
        if decoded.startswith(_MARK) and len(decoded) < len(_MARK) + 20:
            return int(decoded.removeprefix(_MARK))
    except (binascii.Error, ValueError):
        pass
    raise Ec2Error("InvalidNextToken", "The specified NextToken is not valid.")
