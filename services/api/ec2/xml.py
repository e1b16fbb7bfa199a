"""Answers in EC2's XML.

A Tree is what an action answers with: a dict is an element with these elements in it, a list one `<item>` for each, None is left
out. Times are UTC with milliseconds, as Amazon writes them. What XML cannot carry (control characters in a name) becomes U+FFFD.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from io import StringIO
from typing import Any, Final
from xml.sax.saxutils import XMLGenerator

from aiohttp import web

Tree = Mapping[str, "Tree"] | Sequence["Tree"] | str | int | bool | datetime | None

_UNCARRIABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NO_ATTRIBUTES: Final[Any] = {}  # all that is asked of attributes is their items(), and a dict tells them soonest
_NAMESPACE: Final = "http://ec2.amazonaws.com/doc/{}/"


def response(action: str, version: str, request_id: str, tree: Mapping[str, Tree]) -> web.Response:
    """The answer of an action, in the namespace of the version that was asked for."""
    root = f"{action}Response"
    return _written(root, {"requestId": request_id, **tree}, 200, {"xmlns": _NAMESPACE.format(version)})


def refusal(code: str, message: str, request_id: str, status: int) -> web.Response:
    """The answer to a request that failed."""
    return _written(
        "Response", {"Errors": {"Error": {"Code": code, "Message": message}}, "RequestID": request_id}, status
    )


def moment(value: datetime) -> str:
    """A time as Amazon writes it: 2014-04-17T12:00:00.000Z."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _written(root: str, tree: Tree, status: int, attributes: Any = _NO_ATTRIBUTES) -> web.Response:
    text = StringIO()
    writer = XMLGenerator(text, "UTF-8", short_empty_elements=True)
    writer.startDocument()
    _write(writer, root, tree, attributes)
    body = _UNCARRIABLE.sub("\ufffd", text.getvalue()).encode()
    return web.Response(body=body, status=status, content_type="text/xml", charset="UTF-8")


def _write(writer: XMLGenerator, name: str, tree: Tree, attributes: Any = _NO_ATTRIBUTES) -> None:
    """An element, written as it is met: to build all of them first and write them then costs half as much again."""
    writer.startElement(name, attributes)
    if isinstance(tree, str):  # most of a tree is text, and to ask whether it is a mapping costs more
        writer.characters(tree)
    elif isinstance(tree, bool):
        writer.characters("true" if tree else "false")
    elif isinstance(tree, int):
        writer.characters(str(tree))
    elif isinstance(tree, datetime):
        writer.characters(moment(tree))
    elif isinstance(tree, Mapping):
        for inner, value in tree.items():
            if value is not None:
                _write(writer, inner, value)
    elif tree is not None:
        for item in tree:
            _write(writer, "item", item)
    writer.endElement(name)
