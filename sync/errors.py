"""Errors of this package.

SyncError
├── ChangeError      an Automerge change that must not enter a document
├── LogError         a log, tree head or cursor that does not fit what is stored
├── LinkError        the peer broke the protocol: costs the link, never the node
├── FrameError       leaves on their way that cannot be read
├── PackError        a pack cannot be made, read or taken in
├── NegentropyError  a reconciliation message that cannot be read
├── StoreError       the database or a file cannot do what was asked
└── RecordFileError  an exported record does not verify
"""


class SyncError(Exception):
    """Parent of what this package raises.

    Attributes:
        code: stable, program-readable, snake_case.
        hint: what a person can do about it; may be empty.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        """Keep the stable code and the hint beside the sentence for people."""
        super().__init__(message)
        self.code = code
        self.hint = hint


class ChangeError(SyncError):
    """An Automerge change is malformed, foreign or forbidden: its leaf goes to quarantine."""


class LogError(SyncError):
    """A log does not extend what is stored, or a leaf is not where it should be."""


class LinkError(SyncError):
    """The peer sent what the protocol forbids."""


class StoreError(SyncError):
    """The database or a file cannot do what was asked."""


class RecordFileError(SyncError):
    """An exported record does not verify."""


class FrameError(SyncError):
    """Leaves on their way that cannot be read, or not yet (`frame_early`)."""


class PackError(SyncError):
    """A pack cannot be made, read or taken in."""


class NegentropyError(SyncError):
    """A reconciliation message is malformed or of a version we do not speak."""
