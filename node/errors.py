"""Errors of the program itself.

NodeError
├── ConfigError   the data folder or its configuration cannot be used
├── RequestError  what a person asked for cannot be done, and why
└── StartError    the node cannot start, and says why
"""


class NodeError(Exception):
    """Parent of what the program raises.

    Attributes:
        code: stable, program-readable, snake_case.
        hint: what a person can do about it.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        """Keep the stable code and the hint beside the sentence for people."""
        super().__init__(message)
        self.code = code
        self.hint = hint


class ConfigError(NodeError):
    """The data folder or its configuration cannot be used."""


class StartError(NodeError):
    """The node cannot start."""


class RequestError(NodeError):
    """What a person asked for cannot be done.

    Attributes:
        field: the field of the form that is wrong, or empty.
    """

    def __init__(self, code: str, message: str, hint: str = "", field: str = "") -> None:
        """Keep what the form needs to show the error at its place."""
        super().__init__(code, message, hint)
        self.field = field
