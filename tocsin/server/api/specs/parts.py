"""The common part of the pages: how they are put together, their look, and what they allow.

Styles and scripts are files beside this one, and stand in the page itself: a page is one answer,
and its policy names each of them by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from typing import Final

BELL: Final = (
    '<svg class="bell" viewBox="0 0 32 32" aria-hidden="true"><path d="M16 2.5a2.6 2.6 0 0 0-2.6'
    " 2.6v.75C9 7 6 10.9 6 15.5V21l-2.4 3.1c-.5.7 0 1.7.8 1.7h23.2c.8 0 1.3-1 .8-1.7L26 21v-5.5c0"
    "-4.6-3-8.5-7.4-9.65V5.1A2.6 2.6 0 0 0 16 2.5Zm-3.9 25.1a4 4 0 0 0 7.8 0Z"
    '"/></svg>'
)


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """A page as it is answered."""

    html: bytes
    policy: str
    """Its `Content-Security-Policy`."""


@cache
def asset(name: str) -> bytes:
    """The file *name* beside this one."""
    return files(__package__).joinpath(name).read_bytes()


def make_page(title: str, body: str, *, style: str, script: str) -> HtmlPage:
    """The page whose look is `look.css` and the file *style*, and which runs the file *script*."""
    sheet = (asset("look.css") + asset(style)).decode()
    code = asset(script).decode()
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{sheet}</style></head>"
        f"<body>{body}<script>{code}</script></body></html>"
    )
    return HtmlPage(html.encode(), _policy(sheet, code))


def _policy(sheet: str, code: str) -> str:
    return (
        f"default-src 'none'; style-src '{_hash(sheet)}'; script-src '{_hash(code)}'; "
        "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"sha256-{digest}"
