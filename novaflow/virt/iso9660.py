"""Small ISO 9660 images, fast and reproducible: the same files and date give the same bytes.

Every boot writes one. Files are kept once however many names they have, and each name appears three times: as plain
ISO 9660 (ECMA-119), with Rock Ridge (IEEE P1282) for Linux and with Joliet for Windows.

The directories depend on nothing but the names, which are the same for most servers: they are laid out once and kept, and
an image is then a copy of them with dates, places and sizes filled in.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

SECTOR: Final = 2048
_FIRST_SECTOR: Final = 16  # the system area before it is zero
_DESCRIPTORS: Final = 3  # sectors: primary, supplementary, terminator
_LONGEST_NAME: Final = 64  # Joliet's limit, in characters
_PLAIN, _JOLIET = 0, 1  # the two hierarchies: plain names with Rock Ridge, and UCS-2 names
_JOLIET_LEVEL_3: Final = b"%/E"
_RECORD: Final = struct.Struct("<BB8s8s7sBHHHB")  # ECMA-119 9.1, up to the identifier
_PLACE_AT: Final = 2  # in a record: extent and size, 8 bytes each
_ONE_BOTH: Final = (1, 256)  # the volume number 1, once for each endianness
_NO_DATE: Final = b"\xff" * 7  # where a date goes; no name can contain it


@dataclass(eq=False, slots=True)
class _Node:
    """A directory or a file; a directory's place is kept once for each hierarchy."""

    name: str
    parent: "_Node | None"
    file: int = -1  # which file it is; -1 for a directory
    children: "dict[str, _Node]" = field(default_factory=dict)
    sector: list[int] = field(default_factory=lambda: [0, 0])
    size: list[int] = field(default_factory=lambda: [0, 0])
    number: list[int] = field(default_factory=lambda: [1, 1])  # in the path table

    @property
    def is_directory(self) -> bool:
        return self.file < 0


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


@dataclass(frozen=True, slots=True)
class _Layout:
    """All that the names decide: the sectors from the path tables to the last directory, with gaps."""

    sectors: bytes
    places: tuple[tuple[int, int], ...]  # of each record of a file: which file, and where in `sectors` its place goes
    tables: tuple[tuple[int, int], tuple[int, int]]  # sector and size of each hierarchy's path table
    roots: tuple[bytes, bytes]  # the root's record for each volume descriptor


def build_image(label: str, files: Mapping[str, bytes], made_at: datetime) -> bytes:
    """An image with this volume label and these files, by relative path; raises ValueError for a name it cannot hold."""
    utc = made_at.astimezone(UTC)
    date = bytes((utc.year - 1900, utc.month, utc.day, utc.hour, utc.minute, utc.second, 0))
    layout = _lay_out(tuple(files))
    tables = bytearray(layout.sectors.replace(_NO_DATE, date))
    contents, places, end = _place_files(files, _FIRST_SECTOR + _DESCRIPTORS + len(tables) // SECTOR)
    for file, at in layout.places:
        tables[at : at + 16] = places[file]
    descriptors = [_descriptor(hierarchy, label, layout, end, utc, date) for hierarchy in (_PLAIN, _JOLIET)]
    terminator = b"\xffCD001\x01".ljust(SECTOR, b"\0")
    return b"".join((bytes(_FIRST_SECTOR * SECTOR), *descriptors, terminator, tables, *contents))


def _place_files(files: Mapping[str, bytes], place: int) -> tuple[list[bytes], list[bytes], int]:
    """Padded contents from sector `place` on, each once; every file's place as records have it; the first free sector."""
    placed: dict[bytes, bytes] = {}
    contents, places = [], []
    for content in files.values():
        if content not in placed:
            size = _sectors(len(content))
            placed[content] = _both32(place) + _both32(len(content))
            contents.append(content.ljust(size * SECTOR, b"\0"))
            place += size
        places.append(placed[content])
    return contents, places, place


@lru_cache(maxsize=32)
def _lay_out(paths: tuple[str, ...]) -> _Layout:
    root = _tree(paths)
    trees = [_folders(root, _PLAIN), _folders(root, _JOLIET)]
    first = place = _FIRST_SECTOR + _DESCRIPTORS
    tables = []
    for hierarchy, folders in enumerate(trees):
        size = len(_path_table(folders, hierarchy, "<"))
        tables.append((place, size))
        place += 2 * _sectors(size)
    for hierarchy, folders in enumerate(trees):
        for folder in folders:
            folder.node.sector[hierarchy] = place
            folder.node.size[hierarchy] = size = _extent_size(folder.rows)
            place += _sectors(size)
    sectors = bytearray((place - first) * SECTOR)
    places: list[tuple[int, int]] = []
    for hierarchy, folders in enumerate(trees):
        at, size = tables[hierarchy]
        _put(sectors, at - first, _path_table(folders, hierarchy, "<"))
        _put(sectors, at - first + _sectors(size), _path_table(folders, hierarchy, ">"))
        for folder in folders:
            start = folder.node.sector[hierarchy] - first
            _put(sectors, start, _extent(folder.rows, hierarchy, start * SECTOR, places))
    roots = [_record(_Row(root, b"\0", b""), hierarchy) for hierarchy in (_PLAIN, _JOLIET)]
    return _Layout(bytes(sectors), tuple(places), (tables[0], tables[1]), (roots[0], roots[1]))


def _tree(paths: Iterable[str]) -> _Node:
    root = _Node("", None)
    for file, path in enumerate(paths):
        *folders, name = path.split("/")
        here = root
        for folder in folders:
            if folder not in here.children:
                here.children[folder] = _Node(_checked(folder), here)
            here = here.children[folder]
        here.children[name] = _Node(_checked(name), here, file)
    return root


def _checked(name: str) -> str:
    if not name or name in (".", "..") or len(name) > _LONGEST_NAME or not name.isprintable():
        raise ValueError(f"{name!r} cannot be a name in an ISO 9660 image")
    return name


def _folders(root: _Node, hierarchy: int) -> list[_Folder]:
    """Directories with their records, in path-table order: by depth, then parent, then name."""
    folders = []
    order = [root]
    for number, node in enumerate(order, 1):
        node.number[hierarchy] = number
        named = {
            _identifier(child.name, hierarchy, is_directory=child.is_directory): child
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
        folders.append(_Folder(node, [_Row(at, key, _system_use(at, name, hierarchy)) for key, at, name in rows]))
        order += [child for _, child in entries if child.is_directory]
    return folders


def _identifier(name: str, hierarchy: int, *, is_directory: bool) -> bytes:
    """The name as a record and the path table have it."""
    if hierarchy == _JOLIET:
        return name.encode("utf-16-be")
    kept = "".join(c if c.isascii() and (c.isalnum() or c == ".") else "_" for c in name).upper()
    if is_directory:
        return kept.replace(".", "_").encode()
    stem, dot, suffix = kept.rpartition(".")
    return f"{stem.replace('.', '_')}.{suffix};1".encode() if dot else f"{kept}.;1".encode()


def _system_use(node: _Node, name: str, hierarchy: int) -> bytes:
    """Rock Ridge: attributes, time, the real name, and on the root's own record who we are."""
    if hierarchy == _JOLIET:
        return b""
    is_directory = node.is_directory
    links = 2 + sum(child.is_directory for child in node.children.values()) if is_directory else 1
    entries = (
        _attributes(links, is_directory=is_directory) + b"TF\x0c\x01\x02" + _NO_DATE
    )  # 0x02: only the time of modification
    if name == "." and node.parent is None:
        return b"SP\x07\x01\xbe\xef\x00" + entries + b"ER\x12\x01\x0a\x00\x00\x01RRIP_1991A"
    if name in (".", ".."):
        return entries
    encoded = name.encode()
    return entries + bytes((0x4E, 0x4D, 5 + len(encoded), 1, 0)) + encoded  # NM


def _attributes(links: int, *, is_directory: bool) -> bytes:
    mode = 0o040555 if is_directory else 0o100444
    return b"PX\x24\x01" + _both32(mode) + _both32(links) + _both32(0) + _both32(0)


def _extent_size(rows: Iterable[_Row]) -> int:
    """How long a directory is, in whole sectors: no record crosses a sector."""
    size = 0
    for row in rows:
        left = SECTOR - size % SECTOR
        size += row.length + (left if left < row.length else 0)
    return -(-size // SECTOR) * SECTOR


def _extent(rows: Iterable[_Row], hierarchy: int, start: int, places: list[tuple[int, int]]) -> bytes:
    """A directory that begins at byte `start`; notes in `places` where its files' places go."""
    extent = bytearray()
    for row in rows:
        left = SECTOR - len(extent) % SECTOR
        if left < row.length:
            extent += bytes(left)
        if not row.node.is_directory:
            places.append((row.node.file, start + len(extent) + _PLACE_AT))
        extent += _record(row, hierarchy)
    return bytes(extent)


def _record(row: _Row, hierarchy: int) -> bytes:
    node, name, length = row.node, row.identifier, row.length
    head = _RECORD.pack(
        length, 0, _both32(node.sector[hierarchy]), _both32(node.size[hierarchy]), _NO_DATE,
        0x02 if node.is_directory else 0, 0, *_ONE_BOTH, len(name),
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


def _descriptor(hierarchy: int, label: str, layout: _Layout, end: int, utc: datetime, date: bytes) -> bytes:
    """The primary or supplementary volume descriptor (ECMA-119 8.4, 8.5)."""
    at, size = layout.tables[hierarchy]

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
        layout.roots[hierarchy].replace(_NO_DATE, date),
        text("", 128), text("", 128), text("", 128), text("NOVAFLOW", 128),
        text("", 37), text("", 37), text("", 37),
        when, when, b"0" * 16 + b"\0", when, b"\x01",
    )).ljust(SECTOR, b"\0")  # fmt: skip


def _sectors(size: int) -> int:
    return max(1, -(-size // SECTOR))


def _put(image: bytearray, sector: int, data: bytes) -> None:
    image[sector * SECTOR : sector * SECTOR + len(data)] = data


def _both16(value: int) -> bytes:
    return value.to_bytes(2, "little") + value.to_bytes(2, "big")


def _both32(value: int) -> bytes:
    return value.to_bytes(4, "little") + value.to_bytes(4, "big")
