"""Bodies and answers about the node itself: its certificate, who enrols below it, its outposts."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from node.queries.node_facts import OutpostLine, Technician
from node.renewing import CertificateState
from node.tokens import HOURS as TOKEN_HOURS
from node.tokens import HOURS_MAX as TOKEN_HOURS_MAX
from node.tokens import TokenState
from node.web.answers import Answer, LinkAnswer


class CertificateAnswer(Answer):
    """The certificate of this node, and how its renewal stands.

    Attributes:
        key: first 32 digits of the node's key, to be compared by voice.
        renews_itself: at the tier above, over the line.
        tried_ms: when it last tried to; None: not since the start.
        error: why that failed, as a sentence; empty when it did not.
        has_spare: a spare key is ready; None where there is none by nature.
    """

    state: CertificateState
    ends_ms: int
    has_spare: bool | None
    key: str
    renews_itself: bool
    tried_ms: int | None
    error_code: str
    error: str


class TokenLine(Answer):
    """A one-time token that was made here.

    Attributes:
        used_by: first 32 digits of the key that was enrolled with it.
        refused: code of the last refusal; empty if there was none.
    """

    code: str
    state: TokenState
    expires_ms: int
    used_by: str
    refused: str
    refused_ms: int


class MakeToken(BaseModel):
    """For which place below a token is made.

    Attributes:
        hours: until it expires.
        is_again: also if the place has another key that is good.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = Field(pattern=r"^[0-9]{1,2}\.[0-9]{1,5}(\.[1-9][0-9]?)?$")
    hours: int = Field(default=TOKEN_HOURS, ge=1, le=TOKEN_HOURS_MAX)
    is_again: bool = False


class LetTravel(BaseModel):
    """Whose accounts travel to an outpost, instead of those before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    users: tuple[Annotated[str, StringConstraints(max_length=40)], ...] = Field(max_length=100)


class Colleague(Answer):
    """An account that may travel."""

    user: str
    name: str


class TokenAnswer(Answer):
    """A token; the line is shown this once and kept nowhere.

    Attributes:
        picture: QR code of the line, as the address of a picture.
    """

    code: str
    line: str
    picture: str
    expires_ms: int


class TechnicianAnswer(Answer):
    """What the person who looks after the node sees.

    Attributes:
        colleagues: at a commune, whose accounts may travel to its outposts.
    """

    node: Technician
    link: LinkAnswer
    certificate: CertificateAnswer
    tokens: list[TokenLine]
    outposts: list[OutpostLine]
    colleagues: list[Colleague]
    version: str
    python: str
    sqlite: str
    disk_free_bytes: int
