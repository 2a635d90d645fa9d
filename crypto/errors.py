"""Errors of this package.

CryptoError
├── ProofError         a Merkle proof, tree head, note or proof text is malformed or does not hold
├── SignatureError     a signature is missing or does not verify
├── CertificateError   a certificate, request or chain is malformed or not acceptable
├── SealError          a sealed value is malformed, altered or not for this office
├── PairingError       a device and a node do not come together, and why
├── EnrolmentError     a token is malformed, or its secret is not known
├── KeyfileError       a key or certificate file cannot be read or written
├── ShareError         shares of the root's key are malformed or do not make it
└── PasswordError      a password is too short, too long or wrong
"""

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm

# What the library raises over bytes that somebody else chose.
UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm)


class CryptoError(Exception):
    """Parent of what this package raises.

    Attributes:
        code: stable, program-readable, snake_case.
        hint: what a technician can do about it, one plain sentence; may be empty.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        """Keep the stable code and the hint beside the sentence that says what happened."""
        super().__init__(message)
        self.code = code
        self.hint = hint


class ProofError(CryptoError):
    """A Merkle proof, tree head or note is malformed or does not hold."""


class SignatureError(CryptoError):
    """A signature is missing or does not verify."""


class CertificateError(CryptoError):
    """A certificate, a request or a chain is malformed or not acceptable."""


class SealError(CryptoError):
    """A sealed value cannot be made or opened."""


class PairingError(CryptoError):
    """A device and a node do not come together."""


class EnrolmentError(CryptoError):
    """A one-time token is malformed, or the other side does not know its secret."""


class KeyfileError(CryptoError):
    """A key file or certificate file cannot be read or written."""


class ShareError(CryptoError):
    """Shares of the root's key are malformed, too few, or do not make it."""


class PasswordError(CryptoError):
    """A password is not acceptable or not the right one."""
