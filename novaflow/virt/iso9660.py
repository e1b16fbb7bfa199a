"""Small ISO 9660 images, fast and reproducible: the same files and date give the same bytes.

Every boot writes one. Files are kept once however many names they have, and each name appears three times: as plain
ISO 9660 (ECMA-119), with Rock Ridge (IEEE P1282) for Linux and with Joliet for Windows.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

SECTOR: Final = 2048
_FIRST_SECTOR: Final = 16  # the system area before it is zero
_LONGEST_NAME: Final = 64  # Joliet's limit, in characters
_PLAIN, _JOLIET = 0, 1  # the two hierarchies: plain names with Rock Ridge, and UCS-2 names
_JOLIET_LEVEL_3: Final = b"%/E"
_RECORD: Final = struct.Struct("<BB8s8s7sBHHHB")  # ECMA-119 9.1, up to the identifier
_ONE_BOTH: Final = (1, 256)  # the volume number 1, once for each endianness


@dataclass(eq=False, slots=True)
class _Node:
    """A directory or a file. Extents, sizes and numbers are kept once for each hierarchy."""

    name: str
    parent: "_Node | None"
    content: bytes | None = None  # None: a directory
    children: "dict[str, _Node]" = field(default_factory=dict)
    extent: list[bytes] = field(default_factory=lambda: [b"", b""])  # as a record has it
    size: list[bytes] = field(default_factory=lambda: [b"", b""])
    sector: list[int] = field(default_factory=lambda: [0, 0])
    number: list[int] = field(default_factory=lambda: [1, 1])  # in the path table

    def place(self, hierarchy: int, sector: int, size: int) -> None:
        """Say where it lies and how long it is."""
        self.sector[hierarchy] = sector
        self.extent[hierarchy], self.size[hierarchy] = _both32(sector), _both32(size)


@dataclass(slots=True)
class _Row:
    """One record of a directory: all of it but where it points to."""

    node: _Node
    identifier: bytes
    system_use: bytes

    @property
    def length(self) -> int:
        length = 33 + (len(self.identifier) | 1) + len(self.system_use)
        return length + length % 2


@dataclass(slots=True)
class _Folder:
    """One directory in one hierarchy."""

    node: _Node
    rows: list[_Row]


def build_image(label: str, files: Mapping[str, bytes], made_at: datetime) -> bytes:
    """An image with this volume label and these files, by relative path; raises ValueError for a name it cannot hold."""
    utc = made_at.astimezone(UTC)
    date = bytes((utc.year - 1900, utc.month, utc.day, utc.hour, utc.minute, utc.second, 0))
    root = _tree(files)
    trees = [_folders(root, _PLAIN, date), _folders(root, _JOLIET, date)]
    place = _FIRST_SECTOR + 3
    tables = []
    for hierarchy, folders in enumerate(trees):
        size = len(_path_table(folders, hierarchy, "<"))
        tables.append((place, size))
        place += 2 * _sectors(size)
    for hierarchy, folders in enumerate(trees):
        for folder in folders:
            size = _extent_size(folder.rows)
            folder.node.place(hierarchy, place, size)
            place += _sectors(size)
    contents, end = _place_files(root, place)
    image = bytearray(end * SECTOR)
    for hierarchy, folders in enumerate(trees):
        at, size = tables[hierarchy]
        _put(image, _FIRST_SECTOR + hierarchy, _descriptor(hierarchy, label, root, tables[hierarchy], end, utc, date))
        _put(image, at, _path_table(folders, hierarchy, "<"))
        _put(image, at + _sectors(size), _path_table(folders, hierarchy, ">"))
        for folder in folders:
            _put(image, folder.node.sector[hierarchy], _extent(folder.rows, hierarchy, date))
    _put(image, _FIRST_SECTOR + 2, b"\xffCD001\x01")
    for content, sector in contents.items():
        _put(image, sector, content)
    return bytes(image)


def _tree(files: Mapping[str, bytes]) -> _Node:
    root = _Node("", None)
    for path, content in files.items():
        *folders, name = path.split("/")
        here = root
        for folder in folders:
            if folder not in here.children:
                here.children[folder] = _Node(_checked(folder), here)
            here = here.children[folder]
        here.children[name] = _Node(_checked(name), here, content)
    return root


def _checked(name: str) -> str:
    if not name or name in (".", "..") or len(name) > _LONGEST_NAME or not name.isprintable():
        raise ValueError(f"{name!r} cannot be a name in an ISO 9660 image")
    return name


def _folders(root: _Node, hierarchy: int, date: bytes) -> list[_Folder]:
    """Directories with their records, in path-table order: by depth, then parent, then name."""
    folders = []
    order = [root]
    for number, node in enumerate(order, 1):
        node.number[hierarchy] = number
        named = {
            _identifier(child.name, hierarchy, is_directory=child.content is None): child
            for child in node.children.values()
        }
        if len(named) != len(node.children):
            raise ValueError(f"names in {node.name!r} differ only by what ISO 9660 cannot tell apart")
        entries = sorted(named.items())
        rows = [
            (b"\0", node, "."),
            (b"\1", node.parent or node, ".."),
            *((key, child, child.name) for key, child in entries),
        ]
        folders.append(_Folder(node, [_Row(at, key, _system_use(at, name, hierarchy, date)) for key, at, name in rows]))
        order += [child for _, child in entries if child.content is None]
    return folders


@lru_cache(maxsize=256)
def _identifier(name: str, hierarchy: int, *, is_directory: bool) -> bytes:
    """The name as a record and the path table have it."""
    if hierarchy == _JOLIET:
        return name.encode("utf-16-be")
    kept = "".join(c if c.isascii() and (c.isalnum() or c == ".") else "_" for c in name).upper()
    if is_directory:
        return kept.replace(".", "_").encode()
    stem, dot, suffix = kept.rpartition(".")
    return f"{stem.replace('.', '_')}.{suffix};1".encode() if dot else f"{kept}.;1".encode()


def _system_use(node: _Node, name: str, hierarchy: int, date: bytes) -> bytes:
    """Rock Ridge: attributes, time, the real name, and on the root's own record who we are."""
    if hierarchy == _JOLIET:
        return b""
    is_directory = node.content is None
    links = 2 + sum(child.content is None for child in node.children.values()) if is_directory else 1
    entries = (
        _attributes(links, is_directory=is_directory) + b"TF\x0c\x01\x02" + date
    )  # 0x02: only the time of modification
    if name == "." and node.parent is None:
        return b"SP\x07\x01\xbe\xef\x00" + entries + b"ER\x12\x01\x0a\x00\x00\x01RRIP_1991A"
    if name in (".", ".."):
        return entries
    encoded = name.encode()
    return entries + bytes((0x4E, 0x4D, 5 + len(encoded), 1, 0)) + encoded  # NM


@lru_cache(maxsize=64)
def _attributes(links: int, *, is_directory: bool) -> bytes:
    mode = 0o040555 if is_directory else 0o100444
    return b"PX\x24\x01" + _both32(mode) + _both32(links) + _both32(0) + _both32(0)


def _place_files(root: _Node, place: int) -> tuple[dict[bytes, int], int]:
    """Give every distinct content a place from sector `place` on; answers the places and the first free sector."""
    placed: dict[bytes, int] = {}
    pending = [root]
    for node in pending:
        pending += node.children.values()
        if node.content is None:
            continue
        if node.content not in placed:
            placed[node.content] = place
            place += _sectors(len(node.content))
        for hierarchy in (_PLAIN, _JOLIET):
            node.place(hierarchy, placed[node.content], len(node.content))
    return placed, place


def _extent_size(rows: Iterable[_Row]) -> int:
    """How long a directory is, in whole sectors: no record crosses a sector."""
    size = 0
    for row in rows:
        left = SECTOR - size % SECTOR
        size += row.length + (left if left < row.length else 0)
    return -(-size // SECTOR) * SECTOR


def _extent(rows: Iterable[_Row], hierarchy: int, date: bytes) -> bytes:
    extent = bytearray()
    for row in rows:
        left = SECTOR - len(extent) % SECTOR
        if left < row.length:
            extent += bytes(left)
        extent += _record(row, hierarchy, date)
    return bytes(extent)


def _record(row: _Row, hierarchy: int, date: bytes) -> bytes:
    node, name, length = row.node, row.identifier, row.length
    head = _RECORD.pack(
        length, 0, node.extent[hierarchy], node.size[hierarchy], date,
        0x02 if node.content is None else 0, 0, *_ONE_BOTH, len(name),
    )  # fmt: skip
    return (head + name + (b"" if len(name) % 2 else b"\0") + row.system_use).ljust(length, b"\0")


def _path_table(folders: Iterable[_Folder], hierarchy: int, endian: str) -> bytes:
    table = bytearray()
    for folder in folders:
        node = folder.node
        name = _identifier(node.name, hierarchy, is_directory=True) if node.parent else b"\0"
        number = (node.parent or node).number[hierarchy]
        table += (
            struct.pack(f"{endian}BBIH", len(name), 0, node.sector[hierarchy], number) + name + bytes(len(name) % 2)
        )
    return bytes(table)


def _descriptor(
    hierarchy: int, label: str, root: _Node, table: tuple[int, int], end: int, utc: datetime, date: bytes
) -> bytes:
    """The primary or supplementary volume descriptor (ECMA-119 8.4, 8.5)."""
    at, size = table

    def text(value: str, width: int) -> bytes:
        if hierarchy == _JOLIET:
            return value.ljust(width // 2)[: width // 2].encode("utf-16-be") + bytes(width % 2)
        return value.ljust(width)[:width].encode("ascii")

    when = utc.strftime("%Y%m%d%H%M%S00").encode() + b"\0"
    return b"".join((
        b"\x02" if hierarchy == _JOLIET else b"\x01", b"CD001", b"\x01\x00",
        text("LINUX", 32), text(label, 32), bytes(8), _both32(end),
        (_JOLIET_LEVEL_3 if hierarchy == _JOLIET else b"").ljust(32, b"\0"),
        _both16(1), _both16(1), _both16(SECTOR), _both32(size),
        struct.pack("<II", at, 0), struct.pack(">II", at + _sectors(size), 0),
        _record(_Row(root, b"\0", b""), hierarchy, date),
        text("", 128), text("", 128), text("", 128), text("NOVAFLOW", 128),
        text("", 37), text("", 37), text("", 37),
        when, when, b"0" * 16 + b"\0", when, b"\x01",
    ))  # fmt: skip


def _sectors(size: int) -> int:
    return max(1, -(-size // SECTOR))


def _put(image: bytearray, sector: int, data: bytes) -> None:
    image[sector * SECTOR : sector * SECTOR + len(data)] = data


def _both16(value: int) -> bytes:
    return value.to_bytes(2, "little") + value.to_bytes(2, "big")


def _both32(value: int) -> bytes:
    return value.to_bytes(4, "little") + value.to_bytes(4, "big")
