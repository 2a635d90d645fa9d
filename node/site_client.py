"""Reaches another node's pages on the LAN: fetches its site's CA, and then trusts nothing else."""

import json
import ssl
from typing import Any, Final

import aiohttp
from cryptography import x509

from crypto.certificates import chain_to_pem
from crypto.site import check_site, read_certificate_der
from node.errors import RequestError

_ANSWER_BYTES_MAX: Final = 64 << 10
_ANSWER_S: Final = 10.0


def site_context(site: x509.Certificate) -> ssl.SSLContext:
    """Return a TLS context that trusts one site, and checks names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=chain_to_pem([site]).decode())
    return context


async def fetch_site(address: str, port: int) -> x509.Certificate:
    """Return the CA certificate that a node hands out, before anything can be trusted.

    The caller compares its fingerprint with one that came another way.

    Raises:
        RequestError: site_unreachable.
        CertificateError: what came is not the certificate of a site.
    """
    unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE
    async with SiteClient(address, port, address, unchecked) as client:
        site = read_certificate_der(await client.download("/api/v1/site/certificate"))
    check_site(site)
    return site


class SiteClient:
    """Asks one node over HTTPS, by its name, at an address.

    The name is what the certificate must say; nobody is asked where it leads.

    Attributes:
        headers: sent with everything; a signed-in program adds its CSRF token.
    """

    def __init__(self, address: str, port: int, name: str, context: ssl.SSLContext) -> None:
        """Connect to an address; a node checks names itself, and its own `.local` name fits."""
        self._base = f"https://{_bracketed(address)}:{port}"
        self.headers = {"Host": f"{_bracketed(name)}:{port}"}
        self._name = name
        self._context = context
        self._client: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "SiteClient":
        """Open the client."""
        self._client = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_ANSWER_S),
            cookie_jar=aiohttp.CookieJar(unsafe=True),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        assert self._client is not None
        await self._client.close()

    async def download(self, path: str) -> bytes:
        """Return the bytes at a path.

        Raises:
            RequestError: site_unreachable, or what the node answered.
        """
        return await self._ask("GET", path, None)

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the JSON that the API answers.

        Raises:
            RequestError: site_unreachable, site_answer_unknown, or what the node answered.
        """
        try:
            return json.loads(await self._ask(method, f"/api/v1{path}", body))
        except (ValueError, RecursionError) as error:
            raise RequestError("site_answer_unknown", "The node's answer is no JSON.") from error

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> bytes:
        assert self._client is not None
        try:
            async with self._client.request(
                method,
                self._base + path,
                json=body,
                ssl=self._context,
                server_hostname=self._name,
                headers=self.headers,
                allow_redirects=False,
            ) as answer:
                content = await _content(answer)
                if answer.status == 200:
                    return content
                problem = _problem(answer.status, content)
        except aiohttp.ClientConnectorCertificateError as error:
            raise RequestError(
                "site_certificate_wrong",
                f"The certificate of {self._name} was not issued by this site.",
                "Somebody may stand between this device and the node. Do not go on.",
            ) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise RequestError(
                "site_unreachable",
                f"{self._name} cannot be reached at {self._base}.",
                "Check that both are on the same network, and that lan_host is set at the node.",
            ) from error
        raise problem


async def _content(answer: aiohttp.ClientResponse) -> bytes:
    content = b""
    async for piece in answer.content.iter_any():
        content += piece
        if len(content) > _ANSWER_BYTES_MAX:
            raise RequestError("site_answer_unknown", "The node's answer is too long.")
    return content


def _problem(status: int, content: bytes) -> RequestError:
    try:
        told = json.loads(content)
        return RequestError(str(told["code"]), str(told["message"]), str(told.get("hint", "")))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return RequestError("site_answer_unknown", f"The node answered with status {status}.")


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
