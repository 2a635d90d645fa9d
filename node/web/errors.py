"""Errors of the pages and the API.

NodeError
└── WebError   a request that is refused before it reaches the desk
"""

from node.errors import NodeError


class WebError(NodeError):
    """A request that is refused before it reaches the desk.

    Attributes:
        status: of the HTTP answer.
        field: the field that is wrong, or empty.
        retry_after_s: when trying again makes sense; None if that is not a matter of time.
    """

    def __init__(
        self,
        code: str,
        status: int,
        message: str,
        hint: str = "",
        field: str = "",
        retry_after_s: int | None = None,
    ) -> None:
        """Keep what the answer needs."""
        super().__init__(code, message, hint)
        self.status = status
        self.field = field
        self.retry_after_s = retry_after_s


def not_found() -> WebError:
    """Return the error for a record that is not here."""
    return WebError(
        "not_found",
        404,
        "There is no such record here.",
        "It may not have arrived yet; look at the state of the link.",
    )
