"""Asking the tier above something over HTTP before there is a link: one request, one answer.

It blocks; the running node asks in a thread. Who is at the other end is judged after the handshake
and before anything is said.
"""

import http.client
import ssl
from collections.abc import Callable
from typing import Final

from pydantic import BaseModel, ValidationError

from node.errors import RequestError

_TIMEOUT_S: Final = 30.0
ANSWER_BYTES_MAX: Final = 64 << 10


class Refused(BaseModel):
    """Why the other side does not do it."""

    code: str
    message: str
    hint: str = ""


def ask(
    address: str,
    path: str,
    say: Callable[[bytes], bytes],
    *,
    context: ssl.SSLContext,
) -> bytes:
    """Return the body of a good answer.

    Args:
        address: `host:port`.
        path: of the URL.
        say: told the certificate (DER) that the other side shows, returns what to send, as JSON;
            raises where that certificate is not good.
        context: of TLS.

    Raises:
        RequestError: link_unreachable; or the other side's own code and reason.
        CryptoError: from say.
    """
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPSConnection(
        host.strip("[]"), int(port), timeout=_TIMEOUT_S, context=context
    )
    is_heard = False
    try:
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        shown = connection.sock.getpeercert(binary_form=True)
        body = say(shown or b"")
        is_heard = True
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read(ANSWER_BYTES_MAX + 1)
    except (OSError, http.client.HTTPException) as error:
        if is_heard or isinstance(error, ssl.SSLError):
            # In TLS 1.3 who has no good certificate learns it after the handshake.
            raise _hung_up(error) from error
        raise RequestError(
            "link_unreachable",
            f"{address} does not answer: {str(error) or type(error).__name__}.",
            "Check the address, the line, and that the port is open at the tier above.",
        ) from error
    finally:
        connection.close()
    if answer.status == http.client.OK and len(content) <= ANSWER_BYTES_MAX:
        return content
    raise _refusal(answer.status, content)


def _refusal(status: int, content: bytes) -> RequestError:
    try:
        said = Refused.model_validate_json(content)
    except ValidationError:
        return RequestError(
            "answer_malformed",
            f"The other side answered {status} and nothing that can be read.",
            "Check that the address is that of a tiepdan node, and its version.",
        )
    return RequestError(said.code, said.message, said.hint)


def _hung_up(error: Exception) -> RequestError:
    return RequestError(
        "peer_refused",
        f"The other side hung up: {str(error) or type(error).__name__}.",
        "It takes only certificates of its own root, and none at all only while it has an open"
        " token: check the address; to enrol, have a new token made.",
    )
