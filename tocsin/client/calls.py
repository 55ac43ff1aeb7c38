"""One call of the HTTP API, with its refusals in words that say what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from tocsin_client.errors import ApiError
from tocsin_client.transport import (
    CALL_FAILURES,
    client_options,
    failure_of,
    read_answer,
    request_options,
)
from tocsin_client.transport import Call as WireCall


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
    """Ask the server at *base*; its answer, which is a success.

    Raises `CallFailed`; that is `Unreachable` or `UnreadableAnswer` if no Tocsin server answers.
    Cancelled, it may have been done all the same.
    """
    wire = WireCall(call.method, call.path, call.body, call.headers or {}, call.query)
    try:
        async with httpx.AsyncClient(**client_options(base)) as client:
            response = await client.request(**request_options(base, token, wire))
    except CALL_FAILURES as error:
        raise call_failed(call, failure_of(error, base)) from None
    if response.is_success:
        return response
    try:
        read_answer(response)
    except ApiError as error:
        raise call_failed(call, error) from None
    raise UnreadableAnswer(response.status_code)


def call_failed(call: Call, error: ApiError) -> CallFailed:
    """The words of *error*, in which *call* has ended, for the person at the terminal."""
    if error.code == "not_tocsin":
        return UnreadableAnswer(error.status)
    if error.status:
        wrong = f"{error.detail.rstrip('.')} ({error.status} {error.code})"
        return CallFailed(wrong, ", ".join(error.fields), _remedy(call, error), error.status)
    if error.code == "timeout":
        remedies = call.remedies or {}
        remedy = remedies.get("timeout", f"look at the server's /readyz; {call.verb} again")
        return CallFailed(error.detail, "", remedy)
    failure = Unreachable if error.code == "unreachable" else CallFailed
    return failure(error.detail, "", "start the server, or name where it is with --url")


def _remedy(call: Call, error: ApiError) -> str:
    own = call.remedies or {}
    for key in (error.code, error.status):
        if key in own:
            return own[key]
    match error.status:
        case 401:
            return "give another credential with --token, or name the server's data directory"
        case 403:
            return f"give a credential with the scope {call.scope}"
        case 409 | 429 | 503:
            return (
                f"{call.verb} again {f'in {error.after:g} s' if error.after else 'a little later'}"
            )
        case 413:
            return "shorten it"
        case 400 | 422:
            return "correct what is named above"
        case _:
            return "look at the server's log"
