"""Errors of the case logic.

CaseError
└── GuardError   the case as it stands does not allow this event
"""


class CaseError(Exception):
    """Parent of what the case logic raises.

    Attributes:
        code: stable, program-readable, snake_case.
    """

    def __init__(self, code: str, message: str) -> None:
        """Keep the stable code beside the sentence for people."""
        super().__init__(message)
        self.code = code


class GuardError(CaseError):
    """An event that the case as it stands does not allow.

    Attributes:
        message: what is wrong, in English; pages take the sentence of the code from the labels.
        hint: what the person can do instead.
        possible: types of the events that are possible now, where that helps.
    """

    def __init__(
        self, code: str, message: str, hint: str = "", possible: tuple[str, ...] = ()
    ) -> None:
        """Keep what a person needs in order to go on."""
        super().__init__(code, message)
        self.message = message
        self.hint = hint
        self.possible = possible
