"""Key files and certificate files: the only I/O of this package.

A node's key file has three lines: a header, the seed in hex, and the public key in hex, by which
damage is noticed; a P-256 key is in PKCS #8, which OpenSSL reads. Both are readable by their owner
only. Files are written beside their place, flushed to the disk and renamed, so that a power cut
leaves the old file or the new one.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from crypto.certificates import chain_from_pem, chain_to_pem
from crypto.errors import CertificateError, KeyfileError
from crypto.identity import NodeKey

FILE_BYTES_MAX = 64 << 10

_HEADER = "tiepdan node key v1"
SECRET_MODE = 0o600
PUBLIC_MODE = 0o644


def read_key(path: Path) -> NodeKey:
    """Return the key in a key file.

    Raises:
        KeyfileError: keyfile_missing, keyfile_unreadable, keyfile_too_open or keyfile_damaged.
    """
    data = _read(path, is_secret=True)
    try:
        header, seed, public, end = data.decode("ascii").split("\n")
        key = NodeKey.from_seed(bytes.fromhex(seed))
    except ValueError as error:
        raise _damaged(path) from error
    if (header, public, end) != (_HEADER, key.peer_id.hex(), "") or seed != key.seed.hex():
        raise _damaged(path)
    return key


def write_key(path: Path, key: NodeKey) -> None:
    """Write a key file that only its owner can read.

    Raises:
        KeyfileError: keyfile_exists, as a key is never overwritten, or keyfile_unwritable.
    """
    if os.path.lexists(path):
        raise KeyfileError(
            "keyfile_exists",
            f"{path} exists already",
            "Move the old key away first; what it signed cannot be signed again without it.",
        )
    write_file(path, f"{_HEADER}\n{key.seed.hex()}\n{key.peer_id.hex()}\n".encode(), SECRET_MODE)


def read_p256(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key in a PEM file.

    Raises:
        KeyfileError: keyfile_missing, keyfile_unreadable, keyfile_too_open or keyfile_damaged.
    """
    try:
        key = load_pem_private_key(_read(path, is_secret=True), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _damaged(path) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise _damaged(path)
    return key


def write_p256(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a P-256 key as PEM that only its owner can read.

    Raises:
        KeyfileError: keyfile_unwritable.
    """
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_file(path, pem, SECRET_MODE)


def read_secret(path: Path) -> bytes:
    """Return the content of a file that only its owner may read.

    Raises:
        KeyfileError: keyfile_missing, keyfile_unreadable or keyfile_too_open.
    """
    return _read(path, is_secret=True)


def write_secret(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, over what was there.

    Raises:
        KeyfileError: keyfile_unwritable.
    """
    write_file(path, data, SECRET_MODE)


def read_chain(path: Path) -> list[x509.Certificate]:
    """Return the certificates in a PEM file, in their order, at least one.

    Raises:
        KeyfileError: keyfile_missing, keyfile_unreadable or keyfile_damaged.
    """
    try:
        return chain_from_pem(_read(path))
    except CertificateError as error:
        raise _damaged(path) from error


def read_certificate(path: Path) -> x509.Certificate:
    """Return the one certificate in a PEM file.

    Raises:
        KeyfileError: keyfile_missing, keyfile_unreadable or keyfile_damaged.
    """
    chain = read_chain(path)
    if len(chain) != 1:
        raise _damaged(path)
    return chain[0]


def write_chain(path: Path, chain: Sequence[x509.Certificate]) -> None:
    """Write certificates as PEM, in the order given, over what was there.

    Raises:
        KeyfileError: keyfile_unwritable.
    """
    write_file(path, chain_to_pem(chain), PUBLIC_MODE)


def write_file(path: Path, data: bytes, mode: int) -> None:
    """Write a file over what was there; a power cut leaves the old one or the new one.

    Raises:
        KeyfileError: keyfile_unwritable.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, mode)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
        _sync_directory(path.parent)
    except OSError as error:
        raise KeyfileError(
            "keyfile_unwritable",
            f"{path} cannot be written: {error.strerror}",
            "Check that the folder exists, belongs to the user that runs tiepdan, and is not full.",
        ) from error


def _read(path: Path, *, is_secret: bool = False) -> bytes:
    try:
        with path.open("rb") as file:
            if is_secret:
                _check_mode(path, os.fstat(file.fileno()).st_mode)
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise KeyfileError(
            "keyfile_missing",
            f"{path} does not exist",
            "Check the path in the configuration, or restore the file from the backup.",
        ) from error
    except OSError as error:
        raise KeyfileError(
            "keyfile_unreadable",
            f"{path} cannot be read: {error.strerror}",
            "Check that the file belongs to the user that runs tiepdan.",
        ) from error
    if len(data) > FILE_BYTES_MAX:
        raise _damaged(path)
    return data


def _check_mode(path: Path, mode: int) -> None:
    # Other systems keep rights elsewhere; the bits of a mode say nothing there.
    if os.name == "posix" and mode & 0o077:
        raise KeyfileError(
            "keyfile_too_open",
            f"other users can read {path}",
            f"Run: chmod 600 {path}",
        )


def _damaged(path: Path) -> KeyfileError:
    return KeyfileError(
        "keyfile_damaged",
        f"{path} is damaged or not the kind of file that was expected",
        "Restore the file from the backup.",
    )


def _sync_directory(path: Path) -> None:
    # The new name is on the disk only once its folder is; only POSIX can flush a folder.
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
