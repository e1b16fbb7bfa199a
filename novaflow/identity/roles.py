"""Which roles a grant amounts to, once the roles it implies are counted in.

keystone-manage bootstrap makes five roles and lets admin imply manager, manager member and member reader
(keystone/cmd/bootstrap.py); other implications come from `PUT /v3/roles/{prior}/implies/{implied}`.
"""

from collections.abc import Collection, Iterable
from typing import Final

from novaflow.models import ADMIN_ROLE

MANAGER_ROLE: Final = "manager"
MEMBER_ROLE: Final = "member"
READER_ROLE: Final = "reader"
SERVICE_ROLE: Final = "service"

BOOTSTRAP_ROLES: Final = (ADMIN_ROLE, MANAGER_ROLE, MEMBER_ROLE, READER_ROLE, SERVICE_ROLE)
BOOTSTRAP_IMPLICATIONS: Final = ((ADMIN_ROLE, MANAGER_ROLE), (MANAGER_ROLE, MEMBER_ROLE), (MEMBER_ROLE, READER_ROLE))


def effective(granted: Iterable[str], implications: Collection[tuple[str, str]]) -> tuple[str, ...]:
    """Role ids that follow from the granted ones, those first; `implications` are (prior, implied) pairs, circles allowed."""
    found = dict.fromkeys(granted)
    waiting = list(found)
    while waiting:
        prior = waiting.pop(0)
        fresh = [implied for one, implied in implications if one == prior and implied not in found]
        found.update(dict.fromkeys(fresh))
        waiting += fresh
    return tuple(found)
