"""What is above and below a project, in the two forms clients ask for (keystone/resource/core.py)."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiohttp import web

from novaflow.errors import Invalid
from novaflow.identity.models import Project
from services.identity.links import View, is_set

_BOTH_PARENTS = "Cannot use parents_as_list and parents_as_ids query params at the same time."
_BOTH_SUBTREES = "Cannot use subtree_as_list and subtree_as_ids query params at the same time."


def relatives_asked_for(request: web.Request) -> set[str]:
    """Which relatives a query wants in which form. Raises Invalid for both forms at once."""
    forms = ("parents_as_list", "parents_as_ids", "subtree_as_list", "subtree_as_ids")
    asked = {form for form in forms if is_set(request, form)}
    if {"parents_as_list", "parents_as_ids"} <= asked:
        raise Invalid(reason=_BOTH_PARENTS)
    if {"subtree_as_list", "subtree_as_ids"} <= asked:
        raise Invalid(reason=_BOTH_SUBTREES)
    return asked


def relatives(
    project: Project, projects: Iterable[Project], asked: set[str], show: Callable[[Project], View]
) -> dict[str, Any]:
    """`parents` and `subtree` of a project among all those of its domain."""
    by_id = {one.id: one for one in projects}
    above, below = _above(project, by_id), _below(project, by_id)
    found: dict[str, Any] = {}
    if "parents_as_list" in asked:
        found["parents"] = [{"project": show(one)} for one in above]
    if "parents_as_ids" in asked:
        found["parents"] = _nested([*(one.id for one in above), project.domain_id])
    if "subtree_as_list" in asked:
        found["subtree"] = [{"project": show(one)} for one in below]
    if "subtree_as_ids" in asked:
        found["subtree"] = _tree(project.id, below) or None
    return found


def _above(project: Project, projects: Mapping[str, Project]) -> list[Project]:
    """From the parent to the top."""
    found: list[Project] = []
    while project.parent_id in projects:
        project = projects[project.parent_id]
        found.append(project)
    return found


def _below(project: Project, projects: Mapping[str, Project]) -> list[Project]:
    """Every project under this one, those nearer to it first."""
    found = [project]
    for above in found:
        found += [child for child in projects.values() if child.parent_id == above.id]
    return found[1:]


def _nested(ids: Iterable[str]) -> dict[str, Any] | None:
    """Parents as Keystone nests their ids: the nearest holds the next one."""
    nested: dict[str, Any] | None = None
    for key in reversed(list(ids)):
        nested = {key: nested}
    return nested


def _tree(key: str, below: Iterable[Project]) -> dict[str, Any]:
    return {project.id: _tree(project.id, below) or None for project in below if project.parent_id == key}
