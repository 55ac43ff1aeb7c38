"""The way out of mails: one click, without a login (RFC 8058)."""

from __future__ import annotations

import html
from typing import Any, Final, Literal

import msgspec

from tocsin.persistence.store.escalation_commands import MuteChannel
from tocsin.protocol.channels.unsubscribing import Unsubscription, read_unsubscribe_token
from tocsin.server.api.operation import Answer, Call, Caller, Header, Operations, UrlQuery

operations = Operations("channels")

_BODY_BYTES_MAX: Final = 4096
"""Bytes of the body, which says nothing that the link does not: the click is the request."""
_POLICY: Final = Header("Content-Security-Policy", "Nothing but what is on the page.")
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'",
}


class UnsubscribeForm(msgspec.Struct, frozen=True, rename={"click": "List-Unsubscribe"}):
    """The form of RFC 8058 §3.1, which nobody needs to read."""

    click: Literal["One-Click"]


_FORMS: Final = dict.fromkeys(
    ("application/x-www-form-urlencoded", "multipart/form-data"), UnsubscribeForm
)


@operations.define(
    *("GET", "/v1/unsubscribe/{token}", "Show what an unsubscribe link ends"),
    caller=Caller.ANYONE,
    sends=(_POLICY,),
    answers={200: str},
    problems=("not_found", "store_unavailable"),
    produces="text/html; charset=utf-8",
)
async def show_unsubscribe(call: Call[UrlQuery, None], token: str) -> Answer:
    """A page with a button. It changes nothing: programs look at links before people do."""
    wanted = read_unsubscribe_token(_secret(call), token)
    button = '<form method="post"><button name="List-Unsubscribe" value="One-Click">'
    return _page(f"<p>{_words(wanted)}?</p>{button}Unsubscribe</button></form>")


@operations.define(
    *("POST", "/v1/unsubscribe/{token}", "Unsubscribe by one click"),
    caller=Caller.ANYONE,
    sends=(_POLICY,),
    answers={200: str},
    problems=("not_found", "store_unavailable", "unsupported_media_type"),
    streamed=_FORMS,
    body_bytes_max=_BODY_BYTES_MAX,
    produces="text/html; charset=utf-8",
)
async def unsubscribe_by_link(call: Call[UrlQuery, Any], token: str) -> Answer:
    """Nothing more of the category comes over the channel. It can be undone in the preferences."""
    wanted = read_unsubscribe_token(_secret(call), token)
    await call.services.write(MuteChannel(wanted.user, wanted.category, wanted.channel))
    return _page(f"<p>Done: {_words(wanted)}.</p>")


def _secret(call: Call[Any, Any]) -> str:
    """The secret of the nodes; raises `Refused` (503) if the store was never reached."""
    _ = call.services.epoch
    return call.services.store_secret()


def _words(wanted: Unsubscription) -> str:
    category, channel = html.escape(wanted.category), html.escape(wanted.channel)
    return f"Nothing more about “{category}” by {channel}"


def _page(body: str) -> Answer:
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Unsubscribe</title>'
    return Answer(f"{head}{body}</html>\n".encode(), headers=_HEADERS)
