"""Who may do what. The rule names are Nova's policy names, so that a refusal reads as an operator knows it."""

from novaflow.errors import Forbidden
from novaflow.models import Context


def admin_only(context: Context, rule: str) -> None:
    """Let administrators pass; anyone else gets Forbidden naming `rule` (`os_compute_api:servers:create:forced_host`)."""
    if not context.is_admin:
        raise Forbidden(rule=rule)


def admin_or_owner(context: Context, project_id: str, rule: str) -> None:
    """Let administrators and members of `project_id` pass; anyone else gets Forbidden naming `rule`."""
    if not context.is_admin and context.project_id != project_id:
        raise Forbidden(rule=rule)
