"""Writes every file of vectors."""

from tests.vectoring.files import FILES, made
from tests.vectoring.layout import FOLDER


def main() -> None:
    """Write them all and say which changed."""
    for name in FILES:
        path, text = FOLDER / name, made(name)
        is_same = path.exists() and path.read_text() == text
        path.write_text(text)
        print(f"{name}: {len(text):,} letters, {'as it was' if is_same else 'new'}")


if __name__ == "__main__":
    main()
