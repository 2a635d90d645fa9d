"""One operation of the API: its route, who may, what it takes and answers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from aiohttp import web
from pydantic import BaseModel

from node.web.calls import Call

Method = Literal["GET", "POST", "PUT", "DELETE"]
Handler = Callable[[Call], Awaitable[BaseModel | web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that can be asked over HTTP.

    Attributes:
        id: unique, stable name.
        path: below the prefix.
        permission: its line in the table of permissions; None when nobody has to be signed in.
        answer: model of a success, or the media type of one that is not JSON.
        body: model of the request's body; `multipart` for an upload.
        query: model of the parameters.
    """

    id: str
    method: Method
    path: str
    permission: str | None
    summary: str
    handler: Handler
    answer: type[BaseModel] | str
    body: type[BaseModel] | Literal["multipart"] | None = None
    query: type[BaseModel] | None = None

    @property
    def is_change(self) -> bool:
        """Tell whether it needs the CSRF token."""
        return self.method != "GET"
