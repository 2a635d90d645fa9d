"""Cookies: the session, the device, the language.

Browsers share cookies between all ports of a host, so their names carry the node's place code: the
five nodes of the demo then live side by side in one browser.
"""

from typing import Final

from aiohttp import web

from node.accounts import SIGN_IN_AGE_MS_MAX

LANGUAGE: Final = "language"
_DEVICE_DAYS: Final = 400


def session_cookie(request: web.Request, code: str) -> str:
    """Return the token of the session, or empty."""
    return request.cookies.get(_name("session", code), "")


def device_cookie(request: web.Request, code: str) -> str:
    """Return the secret of the device, or empty."""
    return request.cookies.get(_name("device", code), "")


def keep_sign_in(
    response: web.StreamResponse, request: web.Request, code: str, token: str, device_secret: str
) -> None:
    """Give the browser its session and its device."""
    _keep(response, request, _name("session", code), token, SIGN_IN_AGE_MS_MAX // 1000)
    keep_device(response, request, code, device_secret)


def keep_device(
    response: web.StreamResponse, request: web.Request, code: str, device_secret: str
) -> None:
    """Give the browser its device."""
    _keep(response, request, _name("device", code), device_secret, _DEVICE_DAYS * 86_400)


def forget_session(response: web.StreamResponse, code: str) -> None:
    """Take the session away; the device stays known."""
    response.del_cookie(_name("session", code), path="/", httponly=True, samesite="Strict")


def keep_language(response: web.StreamResponse, language: str) -> None:
    """Remember the language of this browser."""
    response.set_cookie(
        LANGUAGE, language, max_age=_DEVICE_DAYS * 86_400, path="/", httponly=True, samesite="Lax"
    )


def _keep(
    response: web.StreamResponse, request: web.Request, name: str, value: str, age_s: int
) -> None:
    response.set_cookie(
        name,
        value,
        max_age=age_s,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=request.secure,
    )


def _name(kind: str, code: str) -> str:
    return f"tiepdan_{kind}_{code.replace('.', '_')}"
