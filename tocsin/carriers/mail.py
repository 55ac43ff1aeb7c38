"""The mail that a parcel becomes: text and HTML, from templates.

A template has `$names` and nothing else (`string.Template`): no conditions, no code. A notification
is an *item* (`$title $body $url $category`), and the items stand in the *mail* (`$items $footer`,
`$count`). In HTML all of them are escaped, and only `http` and `https` become a link.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from importlib import resources
from pathlib import Path
from string import Template
from typing import Final

from tocsin.protocol.channels.carrying import CarriedNotification, Parcel

_SUBJECT_MAX: Final = 200
"""Characters of a subject: more is not shown by any program."""
_TEMPLATES: Final = ("mail.txt", "item.txt", "mail.html", "item.html")
_TEMPLATE_BYTES_MAX: Final = 256 * 1024
"""Bytes of a template file: each mail carries it."""
_WEB: Final = re.compile(r"https?://[^\s<>\"']+", re.ASCII)
_FOOTER: Final = "You get this because of a notification that no device of yours has acknowledged."

Unsubscribe = Callable[[str, str], str | None]
"""From a user and a category to the link that ends such mails; `None` without one."""


class MailTemplates:
    """The four templates: those in *directory*, and ours for the others.

    Raises `ValueError` for a file that cannot be one.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._templates = {name: Template(_read(directory, name)) for name in _TEMPLATES}

    def render(self, suffix: str, items: list[Mapping[str, str]], footer: str) -> str:
        """The body in the form *suffix*, `txt` or `html`; the values are fit for it already."""
        item, mail = self._templates[f"item.{suffix}"], self._templates[f"mail.{suffix}"]
        rendered = "\n".join(item.safe_substitute(each) for each in items)
        return mail.safe_substitute(items=rendered, footer=footer, count=str(len(items)))


@dataclass(frozen=True, slots=True)
class Postmark:
    """The sender's side of a mail: *sender* is its `From`, and names the domain of its ids."""

    sender: str
    templates: MailTemplates
    unsubscribe: Unsubscribe

    @property
    def domain(self) -> str:
        """The domain of the sender."""
        return parseaddr(self.sender)[1].rpartition("@")[2]


def compose(parcel: Parcel, postmark: Postmark) -> EmailMessage:
    """The mail for *parcel* (RFC 5322; RFC 3834 for `Auto-Submitted`, RFC 8058 for the link)."""
    fields = [each.fields() for each in parcel.notifications]
    mail = EmailMessage(SMTP)
    mail["From"] = postmark.sender
    mail["To"] = Address(addr_spec=parcel.value)
    mail["Subject"] = _subject(parcel, str(fields[0]["title"]))
    mail["Message-ID"] = f"<{parcel.send}@{postmark.domain}>"
    mail["Date"] = format_datetime(datetime.fromtimestamp(parcel.now_ms / 1000, UTC))
    mail["Auto-Submitted"] = "auto-generated"
    categories = {str(each["category"]) for each in fields}
    # A digest of several categories has no one thing to unsubscribe from.
    link = postmark.unsubscribe(parcel.user, *categories) if len(categories) == 1 else None
    footer = _FOOTER
    if link is not None:
        mail["List-Unsubscribe"] = f"<{link}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        footer = f"{_FOOTER} To end such mails: {link}"
    templates = postmark.templates
    mail.set_content(
        templates.render("txt", [_plain(each) for each in parcel.notifications], footer)
    )
    rich = templates.render("html", [_rich(each) for each in parcel.notifications], _linked(footer))
    mail.add_alternative(rich, subtype="html")
    return mail


def _subject(parcel: Parcel, title: str) -> str:
    more = len(parcel.notifications) - 1
    suffix = f" (and {more} more)" if more else ""
    return _one_line(title)[:_SUBJECT_MAX] + suffix


def _one_line(text: str) -> str:
    """*text* without control characters: a line end would begin another header."""
    return "".join(each if each.isprintable() else " " for each in text)


def _plain(notification: CarriedNotification) -> dict[str, str]:
    fields = notification.fields()
    plain = {name: fields[name] or "" for name in ("body", "url", "category")}
    return {**plain, "title": _one_line(fields["title"])}


def _rich(notification: CarriedNotification) -> dict[str, str]:
    plain = _plain(notification)
    escaped = {name: html.escape(text) for name, text in plain.items()}
    escaped["body"] = escaped["body"].replace("\n", "<br>\n")
    escaped["url"] = _linked(plain["url"])
    return escaped


def _linked(text: str) -> str:
    """*text* in HTML, with the addresses of the web in it as links."""
    parts: list[str] = []
    end = 0
    for match in _WEB.finditer(text):
        address = html.escape(match[0])
        parts += [html.escape(text[end : match.start()]), f'<a href="{address}">{address}</a>']
        end = match.end()
    return "".join([*parts, html.escape(text[end:])])


def _read(directory: Path | None, name: str) -> str:
    if directory is None or not (path := directory / name).exists():
        ours = resources.files("tocsin.carriers") / "templates" / name
        return ours.read_text(encoding="utf-8")
    try:
        data = path.read_bytes()
        if len(data) > _TEMPLATE_BYTES_MAX:
            raise ValueError(f"{path} is larger than {_TEMPLATE_BYTES_MAX} bytes")
        text = data.decode()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if not Template(text).is_valid():
        raise ValueError(f"{path} has a `$` that begins no name; write `$$` for the sign itself")
    return text
