"""XML elements whose words come from users."""

import re
import xml.etree.ElementTree as ET
from typing import Final

_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2


def add_text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    """A child of `parent` with `text` in it."""
    ET.SubElement(parent, tag, attributes).text = clean(text)


def clean(text: str) -> str:
    """What XML cannot hold is replaced; escaping is the writer's business."""
    return _NOT_XML.sub("\ufffd", text)
