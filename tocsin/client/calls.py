"""One call of the HTTP API, with its refusals in words that say what to do."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx
import msgspec

from tocsin.client.listening import reason
from tocsin.protocol.problems import Problem
from tocsin.settings.kinds import is_loopback

TIMEOUT: Final = 35.0
"""Seconds; a little more than the server gives a request, so that its own answer is heard."""


@dataclass(frozen=True, slots=True)
class Call:
    """A question to the server, and the words for people: *verb* is what is being done (`post`),
    *scope* what the credential needs, *remedies* (status or code → what to do) go before ours."""

    method: str
    path: str
    verb: str
    scope: str
    query: Mapping[str, str] | None = None
    body: bytes | None = None
    headers: Mapping[str, str] | None = None
    remedies: Mapping[int | str, str] | None = None


class CallFailed(Exception):
    """Says what is wrong, where (if it can be said), and what to do; each a short text."""

    def __init__(self, wrong: str, where: str, remedy: str, status: int | None = None) -> None:
        super().__init__(wrong)
        self.wrong = wrong
        self.where = where
        self.remedy = remedy
        self.status = status
        """Of the answer, if there was one."""


class Unreachable(CallFailed):
    """No server listens there: nothing of the call has been heard."""


class UnreadableAnswer(CallFailed):
    """Something answers, and it is no Tocsin server."""

    def __init__(self, status: int) -> None:
        wrong = f"the answer ({status}) is not one of a Tocsin server"
        super().__init__(wrong, "", "correct --url")


async def ask(base: str, token: str, call: Call) -> httpx.Response:
    """Ask the server at *base*; its answer, which is a success. Raises `CallFailed`.

    Cancelled, it may have been done all the same.
    """
    response = await _send(base, token, call)
    if response.is_success:
        return response
    try:
        problem = msgspec.json.decode(response.content, type=Problem)
    except msgspec.DecodeError:
        raise UnreadableAnswer(response.status_code) from None
    where = ", ".join(error.path for error in problem.errors)
    wrong = f"{problem.detail.rstrip('.')} ({problem.status} {problem.code})"
    after = response.headers.get("Retry-After")
    raise CallFailed(wrong, where, _remedy(call, problem, after), problem.status)


async def _send(base: str, token: str, call: Call) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}", **(call.headers or {})}
    if call.body is not None:
        headers["Content-Type"] = "application/json"
    parts = urlsplit(base)
    # A proxy that the environment names cannot reach this machine's own loopback address.
    trust = not is_loopback(parts.hostname or "")
    # The certificates of the machine, as for sockets, instead of those that come with httpx;
    # without TLS there is nothing to verify, and loading any would take a while.
    verify = ssl.create_default_context() if parts.scheme == "https" else False
    url = base.rstrip("/") + call.path
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=trust, verify=verify) as client:
            return await client.request(
                call.method, url, params=call.query, content=call.body, headers=headers
            )
    except httpx.TimeoutException:
        remedies = call.remedies or {}
        remedy = remedies.get("timeout", f"look at the server's /readyz; {call.verb} again")
        raise CallFailed(f"{base} does not answer", "", remedy) from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        remedy = "start the server, or name where it is with --url"
        failure = Unreachable if isinstance(error, httpx.ConnectError) else CallFailed
        raise failure(f"{base} cannot be reached: {_reason(error)}", "", remedy) from None


def _reason(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return reason(cause)
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


def _remedy(call: Call, problem: Problem, retry_after: str | None) -> str:
    own = call.remedies or {}
    for key in (problem.code, problem.status):
        if key in own:
            return own[key]
    match problem.status:
        case 401:
            return "give another credential with --token, or name the server's data directory"
        case 403:
            return f"give a credential with the scope {call.scope}"
        case 409 | 429 | 503:
            return f"{call.verb} again {f'in {retry_after} s' if retry_after else 'a little later'}"
        case 413:
            return "shorten it"
        case 400 | 422:
            return "correct what is named above"
        case _:
            return "look at the server's log"
