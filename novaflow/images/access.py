"""Who may do what with an image: Glance's default policies (glance/policies/image.py).

An image that the caller cannot see does not exist for it; one that it sees and may not change is forbidden. A project's `reader` reads
metadata and nothing else; service users see everything, for they act for somebody who was asked before.
"""

from typing import Final

from novaflow.images.errors import ImageNotFound, NotPermitted
from novaflow.images.image import Image, Status, Visibility
from novaflow.models import Context

READER_ROLE: Final = "reader"
SERVICE_ROLE: Final = "service"


def sees_all(context: Context) -> bool:
    """Sees every project's images."""
    return context.is_admin or SERVICE_ROLE in context.roles


def only_reads(context: Context) -> bool:
    """Holds no role that may change anything or fetch data."""
    return not context.is_admin and set(context.roles) <= {READER_ROLE}


def sees(context: Context, image: Image, *, is_member: bool) -> bool:
    """May know that the image exists. A membership counts before it is accepted."""
    is_open = image.owner is None or image.visibility in (Visibility.PUBLIC, Visibility.COMMUNITY)
    is_shared = image.visibility is Visibility.SHARED and is_member
    return sees_all(context) or is_open or image.owner == context.project_id or is_shared


def require_seen(context: Context, image: Image, *, is_member: bool) -> None:
    """Raises ImageNotFound unless the caller sees the image."""
    if not sees(context, image, is_member=is_member):
        raise ImageNotFound(key=image.id)


def require_owner(context: Context, image: Image, rule: str) -> None:
    """Raises NotPermitted unless the caller may do `rule` (a policy of Glance) to this image, which it sees."""
    is_owner = image.owner is not None and image.owner == context.project_id and not only_reads(context)
    if not context.is_admin and not is_owner:
        raise _denied(rule)


def require_data(context: Context, image: Image) -> None:
    """Raises NotPermitted unless the caller may download the data of this image, which it sees."""
    if image.status is Status.DEACTIVATED and not context.is_admin:
        raise NotPermitted(
            rule="download_image",
            reason="The requested image has been deactivated. Image data download is forbidden.",
        )
    if only_reads(context):
        raise _denied("download_image")


def require_creation(context: Context, owner: str | None, visibility: Visibility) -> None:
    """Raises NotPermitted unless the caller may create an image of this owner and visibility."""
    if context.is_admin:
        return
    if owner != context.project_id:
        raise NotPermitted(rule="add_image", reason=f"You are not permitted to create images owned by '{owner}'")
    if only_reads(context):
        raise _denied("add_image")
    require_visibility(context, visibility)


def require_visibility(context: Context, visibility: Visibility) -> None:
    """Raises NotPermitted when only an admin may make an image this visible."""
    if visibility is Visibility.PUBLIC and not context.is_admin:
        raise _denied("publicize_image")


def _denied(rule: str) -> NotPermitted:
    return NotPermitted(rule=rule, reason=f"You are not authorized to complete {rule} action.")
