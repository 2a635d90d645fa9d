"""Passphrases as people type them at a command."""

import getpass
import sys

from crypto.passphrase import check_passphrase
from node.errors import NodeError


def new_passphrase(holder: str) -> str:
    """Return a passphrase that was typed twice.

    Raises:
        PasswordError: it is too short or too long.
        NodeError: the two differ.
    """
    passphrase = typed(f"New passphrase of {holder}: ")
    check_passphrase(passphrase)
    if typed("The same again: ") != passphrase:
        raise NodeError("passphrase_differs", "The two are not the same.", "Begin anew.")
    return passphrase


def typed(prompt: str) -> str:
    """Return what a person types unseen, or the next line where there is no keyboard."""
    if sys.stdin.isatty():
        return getpass.getpass(prompt)
    return sys.stdin.readline().rstrip("\n")
