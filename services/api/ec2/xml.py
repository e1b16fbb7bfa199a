"""Answers in EC2's XML.

A Tree is what an action answers with: a dict is an element with these elements in it, a list one `<item>` for each, None is left
out. Times are UTC with milliseconds, as Amazon writes them. What XML cannot carry (control characters in a name) becomes U+FFFD.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from xml.etree import ElementTree as Et

from aiohttp import web

Tree = Mapping[str, "Tree"] | Sequence["Tree"] | str | int | bool | datetime | None

_UNCARRIABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAMESPACE: Final = "http://ec2.amazonaws.com/doc/{}/"


def response(action: str, version: str, request_id: str, tree: Mapping[str, Tree]) -> web.Response:
    """The answer of an action, in the namespace of the version that was asked for."""
    root = Et.Element(f"{action}Response", xmlns=_NAMESPACE.format(version))
    Et.SubElement(root, "requestId").text = request_id
    _fill(root, tree)
    return _written(root, 200)


def refusal(code: str, message: str, request_id: str, status: int) -> web.Response:
    """The answer to a request that failed."""
    root = Et.Element("Response")
    _fill(root, {"Errors": {"Error": {"Code": code, "Message": message}}, "RequestID": request_id})
    return _written(root, status)


def moment(value: datetime) -> str:
    """A time as Amazon writes it: 2014-04-17T12:00:00.000Z."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fill(element: Et.Element, tree: Tree) -> None:
    if isinstance(tree, str):  # most of a tree is text, and to ask whether it is a mapping costs more
        element.text = tree
    elif isinstance(tree, bool):
        element.text = "true" if tree else "false"
    elif isinstance(tree, int):
        element.text = str(tree)
    elif isinstance(tree, datetime):
        element.text = moment(tree)
    elif isinstance(tree, Mapping):
        for name, value in tree.items():
            if value is not None:
                _fill(Et.SubElement(element, name), value)
    elif tree is not None:
        for item in tree:
            _fill(Et.SubElement(element, "item"), item)


def _written(root: Et.Element, status: int) -> web.Response:
    text = _UNCARRIABLE.sub("\ufffd", Et.tostring(root, encoding="unicode"))
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
    return web.Response(body=body, status=status, content_type="text/xml", charset="UTF-8")
