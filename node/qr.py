"""QR codes: at a page, and in a terminal."""

import io

import segno


def qr_picture(text: str) -> str:
    """Return the code as the address of a picture, for a page."""
    picture: str = segno.make(text, error="m", micro=False).svg_data_uri(scale=4, border=4)
    return picture


def qr_lines(text: str) -> str:
    """Return the code as lines of half blocks, for a terminal."""
    lines = io.StringIO()
    segno.make(text, error="m", micro=False).terminal(lines, border=4, compact=True)
    return lines.getvalue()
