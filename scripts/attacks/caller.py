"""Somebody who speaks HTTP with a node, with a session or without, and to the letter as told."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

ANSWER_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a node answered.

    Attributes:
        status: of HTTP; 0 if it closed the connection without an answer.
        code: stable code of the refusal, if it said one.
        location: where it leads.
    """

    status: int
    code: str = ""
    location: str = ""
    content: bytes = b""

    @property
    def is_refusal(self) -> bool:
        """Tell whether nothing was given or done: an error of the caller, or the way to sign in."""
        is_sent_away = self.status == 303 and self.location.startswith("/sign-in")
        return 400 <= self.status < 500 or is_sent_away or self.status == 0

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that came."""
        found: dict[str, Any] = json.loads(self.content)
        return found


class Caller:
    """One program with its cookies.

    Attributes:
        csrf: sent with everything unless other headers say otherwise.
    """

    def __init__(self, url: str, context: ssl.SSLContext | None = None, source: str = "") -> None:
        """Call a node at an address, from another of this machine if one is given."""
        self.url = url
        self.csrf = ""
        self._context = context
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(local_addr=(source, 0) if source else None),
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            timeout=aiohttp.ClientTimeout(total=ANSWER_S),
        )

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | aiohttp.FormData | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask for a path exactly as it is written; a mapping goes as JSON."""
        content: Any = body
        named = {"X-CSRF-Token": self.csrf} if self.csrf else {}
        if isinstance(body, Mapping):
            content, named = json.dumps(body).encode(), named | {"Content-Type": "application/json"}
        try:
            async with self.session.request(
                method,
                URL(self.url + path, encoded=True),
                data=content,
                headers=named | dict(headers or {}),
                allow_redirects=False,
                ssl=self._context or True,
            ) as answer:
                # A stream of news never ends; that it begins is enough.
                kind = answer.content_type
                data = b"" if kind == "text/event-stream" else await answer.read()
                return Reply(
                    status=answer.status,
                    code=_code(data) if kind == "application/json" else "",
                    location=answer.headers.get("Location", ""),
                    content=data,
                )
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            return Reply(status=0, code="hung_up")

    async def sign_in(self, user: str, password: str) -> Reply:
        """Sign in and keep what comes."""
        body = {"user": user, "password": password}
        reply = await self.ask("POST", "/api/v1/sign-in", body)
        if reply.status == 200:
            self.csrf = reply.body["csrf"]
        return reply

    def cookies(self) -> dict[str, str]:
        """Return the cookies by name."""
        return {cookie.key: cookie.value for cookie in self.session.cookie_jar}


@asynccontextmanager
async def calling(
    url: str, context: ssl.SSLContext | None = None, source: str = ""
) -> AsyncIterator[Caller]:
    """Call a node for the length of a block."""
    caller = Caller(url, context, source)
    try:
        yield caller
    finally:
        await caller.session.close()


async def say_raw(port: int, data: bytes, wait_s: float = ANSWER_S) -> Reply:
    """Send bytes to a port of plain HTTP, and return what comes until the node hangs up.

    Args:
        port: on this machine.
        data: the request, which should ask to close the connection.
        wait_s: for the end.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(wait_s):
            answer = await reader.read()
    except ConnectionError:
        return Reply(status=0, code="hung_up")
    finally:
        writer.close()
    head, _, content = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    return Reply(status=status, code=_code(content), content=content)


def _code(content: bytes) -> str:
    try:
        found = json.loads(content)
    except ValueError:
        return ""
    return str(found.get("code", "")) if isinstance(found, dict) else ""
