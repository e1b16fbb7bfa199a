"""Reading a PNG strictly enough to say that it is one."""

import struct
import zlib

MAGIC = b"\x89PNG\r\n\x1a\n"
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # per pixel, by colour type


def png_size(image: bytes) -> tuple[int, int]:
    """Width and height; raises AssertionError for what is no whole PNG (RFC 2083)."""
    chunks = png_chunks(image)
    (first, header), end = chunks[0], chunks[-1]
    assert first == b"IHDR"
    assert end == (b"IEND", b"")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    pixels = zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT"))
    if not interlaced:
        assert len(pixels) == height * (1 + (width * depth * SAMPLES[colour] + 7) // 8)
    return width, height


def png_chunks(image: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and data of every chunk, with its checksum right."""
    assert image.startswith(MAGIC)
    chunks, at = [], len(MAGIC)
    while at < len(image):
        (length,) = struct.unpack_from(">I", image, at)
        kind, data = image[at + 4 : at + 8], image[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", image, at + 8 + length)
        assert zlib.crc32(kind + data) == checksum
        chunks.append((kind, data))
        at += 12 + length
    return chunks
