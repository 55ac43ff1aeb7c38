"""Posting one notification over HTTP, with its refusals in words that say what to do."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec

from tocsin.client.listening import reason
from tocsin.kinds import is_loopback
from tocsin.protocol.problems import Problem

PATH: Final = "/v1/notifications"
TIMEOUT: Final = 35.0
"""Seconds; a little more than the server gives a request, so that its own answer is heard."""


@dataclass(frozen=True, slots=True)
class Posted:
    """Durable now; *replayed*: it had been posted before, with the same idempotency key."""

    id: str
    replayed: bool


class NotPosted(Exception):
    """Says what is wrong, where (if it can be said), and what to do; each a short text."""

    def __init__(self, wrong: str, where: str, remedy: str) -> None:
        super().__init__(wrong)
        self.wrong = wrong
        self.where = where
        self.remedy = remedy


class _Accepted(msgspec.Struct):
    id: str


async def post(base: str, token: str, draft: dict[str, Any], key: str | None) -> Posted:
    """Post *draft* to the server at *base*; raises `NotPosted`.

    Cancelled, it may have been posted all the same; with the same *key* it can be posted again.
    """
    url = base.rstrip("/") + PATH
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    if key is not None:
        headers["Idempotency-Key"] = key
    parts = urlsplit(base)
    # A proxy that the environment names cannot reach this machine's own loopback address.
    trust = not is_loopback(parts.hostname or "")
    # The certificates of the machine, as for sockets, instead of those that come with httpx;
    # without TLS there is nothing to verify, and loading any would take a while.
    verify = ssl.create_default_context() if parts.scheme == "https" else False
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=trust, verify=verify) as client:
            response = await client.post(url, content=msgspec.json.encode(draft), headers=headers)
    except httpx.TimeoutException:
        remedy = "look at the server's /readyz; post again, with --key to be safe from doubles"
        raise NotPosted(f"{base} does not answer", "", remedy) from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        remedy = "start the server, or name where it is with --url"
        raise NotPosted(f"{base} cannot be reached: {_reason(error)}", "", remedy) from None
    return _read(response)


def _reason(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return reason(cause)
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


def _read(response: httpx.Response) -> Posted:
    try:
        if response.status_code == 201:
            replayed = response.headers.get("Idempotency-Replayed") == "true"
            return Posted(msgspec.json.decode(response.content, type=_Accepted).id, replayed)
        problem = msgspec.json.decode(response.content, type=Problem)
    except msgspec.DecodeError:
        wrong = f"the answer ({response.status_code}) is not one of a Tocsin server"
        raise NotPosted(wrong, "", "correct --url") from None
    where = ", ".join(error.path for error in problem.errors)
    wrong = f"{problem.detail.rstrip('.')} ({problem.status} {problem.code})"
    remedy = _remedy(problem, response.headers.get("Retry-After"))
    raise NotPosted(wrong, where, remedy)


def _remedy(problem: Problem, retry_after: str | None) -> str:
    match problem.status:
        case 401:
            return "give another credential with --token, or name the server's data directory"
        case 403:
            return "give a credential with the scope notify"
        case 409 | 429 | 503:
            return f"post again in {retry_after} s" if retry_after else "post again a little later"
        case 413:
            return "shorten it"
        case 422 if problem.code == "idempotency_key_reused":
            return "give another --key, or none"
        case 400 | 422:
            return "correct what is named above"
        case _:
            return "look at the server's log"
