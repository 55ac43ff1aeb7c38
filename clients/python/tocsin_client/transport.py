"""Calls of the HTTP API, as values, and what httpx has to know and says about them."""

from __future__ import annotations

import ipaddress
import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from tocsin_client.errors import ApiError

TIMEOUT: Final = 35.0
"""Seconds; a little more than the server gives a request, so that its own answer is heard."""
FIELDS_MAX: Final = 20
"""Paths of wrong fields that an error keeps: a person reads them."""


@dataclass(frozen=True, slots=True)
class Call:
    """A question to the server; *path* begins behind its address, *body* is *media_type*."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] | None = None
    media_type: str = "application/json"


def client_options(server: str) -> dict[str, Any]:
    """The arguments of a client of httpx for *server*.

    The certificates are those of the machine, as for sockets, instead of those that come with
    httpx; without TLS there is nothing to verify, and loading any would take a while. A proxy that
    the environment names cannot reach this machine's own loopback address.
    """
    parts = urlsplit(server)
    return {
        "timeout": TIMEOUT,
        "trust_env": not is_loopback(parts.hostname or ""),
        "verify": ssl.create_default_context() if parts.scheme == "https" else False,
    }


def request_options(server: str, token: str, call: Call) -> dict[str, Any]:
    """The arguments of `request` of a client of httpx."""
    headers = {"Authorization": f"Bearer {token}", **call.headers}
    if call.body is not None:
        headers["Content-Type"] = call.media_type
    url = server.rstrip("/") + call.path
    wanted = {"method": call.method, "url": url, "params": call.query}
    return {**wanted, "content": call.body, "headers": headers}


def read_answer(response: httpx.Response) -> Any:
    """The answer's JSON, None where it is empty. Raises `ApiError` where it is no success."""
    try:
        said = json.loads(response.content) if response.content else None
    except (ValueError, RecursionError):
        said = _NO_JSON
    if response.is_success and said is not _NO_JSON:
        return said
    if not isinstance(said, dict) or not isinstance(said.get("code"), str):
        text = f"the answer ({response.status_code}) is not one of a Tocsin server"
        raise ApiError(response.status_code, "not_tocsin", text)
    raise problem_of(said, response.status_code, response.headers.get("Retry-After"))


_NO_JSON: Final = object()


def problem_of(said: Mapping[str, Any], status: int, retry_after: str | None = None) -> ApiError:
    """The problem that the server describes by *said*."""
    errors = said.get("errors")
    paths = [each.get("path") for each in errors[:FIELDS_MAX]] if isinstance(errors, list) else []
    detail = str(said.get("detail") or said.get("title") or said["code"])
    after = float(retry_after) if retry_after is not None and retry_after.isdecimal() else None
    return ApiError(status, said["code"], detail, after=after, fields=tuple(map(str, paths)))


def failure_of(error: Exception, server: str) -> ApiError:
    """The end of a call of *server* that httpx has ended with *error*."""
    if isinstance(error, httpx.TimeoutException):
        return ApiError(0, "timeout", f"{server} does not answer")
    code = "unreachable" if isinstance(error, httpx.ConnectError) else "lost"
    return ApiError(0, code, f"{server} cannot be reached: {_cause(error)}")


CALL_FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError)
"""Raised by a call of httpx where no answer comes."""


def reason(error: BaseException) -> str:
    """The text of an error from a socket, short."""
    if isinstance(error, BaseExceptionGroup):
        return reason(error.exceptions[0])
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"no TLS there ({error.reason or error})"  # its errno is OpenSSL's, not the OS's
    if isinstance(error, OSError) and error.errno is not None:
        # Trio puts the address into the error's own text; a failed look-up has no errno of the OS.
        return os.strerror(error.errno) if error.errno > 0 else error.strerror or str(error)
    if error.__cause__ is not None:
        return reason(error.__cause__)
    return str(error) or type(error).__name__


def _cause(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError | BaseExceptionGroup):
            return reason(cause)
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine's own; no name but `localhost` is looked up for that."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
