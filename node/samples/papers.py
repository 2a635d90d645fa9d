"""Draws small attachments: a page that looks like a scanned petition, and a picture of a river.

PDF (ISO 32000-1) and PNG (RFC 2083) in their simplest forms; nothing here shows anything real.
"""

import math
import random
import struct
import zlib
from dataclasses import dataclass
from typing import Final

from node.samples.texts import Paper

_PAGE_WIDTH: Final = 310
_PAGE_HEIGHT: Final = 438
_INK: Final = 60
_PHOTO_WIDTH: Final = 240
_PHOTO_HEIGHT: Final = 160
_PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A file as a person would attach it."""

    name: str
    media_type: str
    data: bytes


def draw(paper: Paper, seed: int) -> Drawing:
    """Return a paper; the same seed gives the same bytes."""
    rng = random.Random(seed)
    if paper == "scan":
        return Drawing(
            name="Đơn (bản quét).pdf", media_type="application/pdf", data=scanned_page(rng)
        )
    return Drawing(name="Ảnh hiện trường.png", media_type="image/png", data=river_photo(rng))


def scanned_page(rng: random.Random) -> bytes:
    """Return a PDF of one page with lines of scribble, as a scanner would make it."""
    image = zlib.compress(bytes(_scribbled(rng)))
    return _pdf(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
            b" /Resources << /XObject << /Scan 5 0 R >> >> >>",
            _stream(b"", b"595 0 0 842 0 0 cm /Scan Do"),
            _stream(
                b"/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray"
                b" /BitsPerComponent 8 /Filter /FlateDecode" % (_PAGE_WIDTH, _PAGE_HEIGHT),
                image,
            ),
        ]
    )


def river_photo(rng: random.Random) -> bytes:
    """Return a PNG of hills above a brown river in flood."""
    hills = _outline(rng, base=58.0, swing=22.0)
    bank = _outline(rng, base=112.0, swing=7.0)
    rows = bytearray()
    for y in range(_PHOTO_HEIGHT):
        rows.append(0)
        for x in range(_PHOTO_WIDTH):
            rows += _colour(y, hills[x], bank[x], rng.random())
    header = struct.pack(">IIBBBBB", _PHOTO_WIDTH, _PHOTO_HEIGHT, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows))), (b"IEND", b""))
    return _PNG_MAGIC + b"".join(_chunk(name, data) for name, data in chunks)


def _scribbled(rng: random.Random) -> bytearray:
    """Return a grey page: height × width, one byte a point, 255 is white."""
    page = bytearray(b"\xf7") * (_PAGE_WIDTH * _PAGE_HEIGHT)
    for line in range(9, 46):
        top = line * 9
        x, end = 30, _PAGE_WIDTH - rng.randint(24, 120 if line % 7 == 0 else 40)
        while x < end:
            width = rng.randint(9, 26)
            phase, tempo = rng.uniform(0, 6), rng.uniform(0.7, 1.3)
            for step in range(width):
                y = top + round(2.5 * math.sin(phase + step * tempo))
                page[y * _PAGE_WIDTH + min(x + step, end)] = _INK + rng.randint(0, 60)
            x += width + 5
    return page


def _outline(rng: random.Random, *, base: float, swing: float) -> list[float]:
    """Return the height of a ridge for each column, in points from the top."""
    waves = [(rng.uniform(0.01, 0.09), rng.uniform(0, 6), swing / (2 + i)) for i in range(4)]
    return [
        base + sum(height * math.sin(x * pace + start) for pace, start, height in waves)
        for x in range(_PHOTO_WIDTH)
    ]


def _colour(y: int, hill: float, bank: float, grain: float) -> bytes:
    """Return red, green and blue of a point: sky, hills, then water."""
    noise = int(grain * 18)
    if y < hill:
        return bytes((168 + y // 3, 188 + y // 4, 205 + y // 5))
    if y < bank:
        return bytes((52 + noise, 84 + noise + y // 8, 50 + noise // 2))
    return bytes((142 + noise, 104 + noise, 66 + noise // 2))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _stream(entries: bytes, data: bytes) -> bytes:
    return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (entries, len(data), data)


def _pdf(objects: list[bytes]) -> bytes:
    """Return a file of numbered objects with their table; the first is the catalogue."""
    file = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    file += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    file += b"trailer\n<< /Size %d /Root 1 0 R >>\n" % (len(objects) + 1)
    file += b"startxref\n%d\n%%%%EOF\n" % table
    return bytes(file)
