"""Errors of this package.

SchemaError
├── RecordError    a leaf or an event that does not have the shape it must have
├── MessageError   a wire message that cannot be decoded
└── LawError       a file of rules, days off or labels that is not as it must be
"""


class SchemaError(Exception):
    """Parent of what this package raises.

    Attributes:
        code: stable, program-readable, snake_case.
    """

    def __init__(self, code: str, message: str) -> None:
        """Keep the stable code beside the sentence for people."""
        super().__init__(message)
        self.code = code


class RecordError(SchemaError):
    """A leaf, a field or an event has the wrong shape."""


class MessageError(SchemaError):
    """A wire message is malformed, too long or of an unknown kind."""


class LawError(SchemaError):
    """A rule, a day off or a label stands wrongly in its file."""
