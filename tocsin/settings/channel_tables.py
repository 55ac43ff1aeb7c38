"""Channels and policies of escalation: tables of the settings file, or the same as JSON.

[channels.email]
kind = "email"
host = "mail.example.org"

[escalations.alarm]
steps = [{ after = "1m", channel = "webpush" }, { after = "10m", channel = "email" }]
categories = ["alarms"]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from tocsin.protocol.channels.escalation import (
    ChannelName,
    EscalationPlan,
    EscalationRules,
    Steps,
)
from tocsin.protocol.notifications.notification import Category
from tocsin.protocol.refusal import Refused
from tocsin.settings.kinds import Kind, read_duration, read_text
from tocsin.settings.postgres_address import MASK
from tocsin.settings.setting import SettingProblem

Host = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9.:-]+$")]
Concurrency = Annotated[int, Meta(ge=1, le=256)]
_PUBLIC_URL: Final = re.compile(r"https?://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?")
_SECRETS: Final = ("password", "secret", "url")
"""Fields that may come from a file, named by the field with `_file` behind it."""


class ChannelTable(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"
):
    """The part that every channel has: a *name*, and how many sends are carried at a time."""

    name: str = ""


class EmailTable(ChannelTable, frozen=True, kw_only=True, tag="email", rename={"sender": "from"}):
    """Mail by SMTP. *templates* is a directory; *ca_file* has the authority of the server."""

    host: Host
    sender: Annotated[str, Meta(max_length=320, pattern=r"^[ -~]+$")]
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: str | None = None
    ca_file: str | None = None
    templates: str | None = None
    concurrency: Concurrency = 4


class WebPushTable(ChannelTable, frozen=True, kw_only=True, tag="webpush"):
    """Web Push to browsers, which register themselves."""

    concurrency: Concurrency = 16


class WebhookTable(ChannelTable, frozen=True, kw_only=True, tag="webhook"):
    """One URL of the operator's, which is told the person's address."""

    url: Annotated[str, Meta(min_length=1, max_length=2048)]
    secret: Annotated[str, Meta(pattern=r"^whsec_[A-Za-z0-9+/]{32,128}={0,2}$")]
    concurrency: Concurrency = 8


class AppriseTable(ChannelTable, frozen=True, kw_only=True, tag="apprise"):
    """A service that Apprise knows. *url* has `{address}` in it, where an address is put."""

    url: Annotated[str, Meta(min_length=1, max_length=2048, pattern=r"\{address\}")]
    concurrency: Concurrency = 2


AnyChannelTable = EmailTable | WebPushTable | WebhookTable | AppriseTable


class PolicyTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plan with a *name*, and the categories that have it without naming it."""

    steps: Steps
    categories: list[Category] = []
    name: str = ""

    @property
    def plan(self) -> EscalationPlan:
        """The steps."""
        return tuple(self.steps)


def read_channels(raw: object) -> tuple[AnyChannelTable, ...]:
    """The tables of channels, in the order of their names. Raises `ValueError`."""
    tables = _tables(raw)
    filled = {name: _with_secrets(name, table) for name, table in tables.items()}
    found = _converted(filled, dict[ChannelName, AnyChannelTable])
    if "inbox" in found:
        raise ValueError("has a channel named inbox, which has that meaning in preferences already")
    for name, table in found.items():
        if isinstance(table, EmailTable) and not parseaddr(table.sender)[1].rpartition("@")[0]:
            raise ValueError(f"has a `from` in {name} that is no mail address")
    return tuple(msgspec.structs.replace(table, name=name) for name, table in sorted(found.items()))


def read_escalations(raw: object) -> tuple[PolicyTable, ...]:
    """The tables of policies, in the order of their names. Raises `ValueError`."""
    tables = _tables(raw)
    for name, table in tables.items():
        for step in table.get("steps", ()) if isinstance(table.get("steps"), list) else ():
            for field in ("after", "digest"):
                if isinstance(step, dict) and isinstance(step.get(field), str):
                    step[field] = _duration(name, step[field])
    found = _converted(tables, dict[ChannelName, PolicyTable])
    return tuple(msgspec.structs.replace(table, name=name) for name, table in sorted(found.items()))


def escalation_rules(
    channels: tuple[AnyChannelTable, ...], escalations: tuple[PolicyTable, ...]
) -> EscalationRules:
    """The rules by which posts escalate."""
    return EscalationRules(
        frozenset(each.name for each in channels),
        {each.name: each.plan for each in escalations},
        {category: each.name for each in escalations for category in each.categories},
    )


def channel_contradictions(
    channels: tuple[AnyChannelTable, ...],
    escalations: tuple[PolicyTable, ...],
    vapid: tuple[str | None, str | None],
) -> Iterator[SettingProblem]:
    """Settings that do not go together. *vapid* are the key and the contact."""
    rules = escalation_rules(channels, escalations)
    for each in escalations:
        try:
            rules.check(each.plan)
        except Refused as refused:
            wrong = f"has a policy {each.name} that cannot be done: {refused.refusal.detail}"
            places = ", ".join(f"{at.path} {at.message}" for at in refused.refusal.errors)
            yield SettingProblem(("escalations", "channels"), wrong, f"see {places}")
    named = [category for each in escalations for category in each.categories]
    for category in sorted({each for each in named if named.count(each) > 1}):
        wrong = f"has two policies for the category {category}"
        yield SettingProblem(("escalations",), wrong, "name it in one of them")
    if any(isinstance(each, WebPushTable) for each in channels) and None in vapid:
        wrong = "has a channel of the kind webpush, which needs a key and a contact"
        remedy = "make a key with `tocsin vapid create`, and set vapid_private_key, vapid_contact"
        yield SettingProblem(("channels", "vapid_private_key"), wrong, remedy)


def read_vapid_key(raw: object) -> str:
    """A private key of P-256, in PEM. Raises `ValueError`, without a word of the key."""
    # Imported only when needed: most nodes push to no browser.
    from tocsin.protocol.channels.webpush import read_private_key

    text = read_text(raw)
    read_private_key(text)
    return text


def read_vapid_contact(raw: object) -> str:
    """Where a push service finds the operator (RFC 8292 §2.1). Raises `ValueError`."""
    text = read_text(raw)
    if not text.startswith(("mailto:", "https://")) or len(text) > 256 or not text.isprintable():
        raise ValueError("is neither a mailto: nor an https: address")
    return text


def read_public_url(raw: object) -> str:
    """The address under which people reach the server, without a slash at its end.

    Raises `ValueError`.
    """
    text = read_text(raw)
    if not _PUBLIC_URL.fullmatch(text):
        raise ValueError(f"is {text!r}, which is not an address such as https://tocsin.example.com")
    return text.rstrip("/")


def _tables(raw: object) -> dict[str, dict[str, Any]]:
    if isinstance(raw, str):
        try:
            raw = msgspec.json.decode(raw)
        except msgspec.DecodeError as error:
            raise ValueError(f"is no JSON: {error}") from None
    if not isinstance(raw, dict) or not all(isinstance(each, dict) for each in raw.values()):
        raise ValueError("is not a table of tables, one for each name")
    return {str(name): dict(table) for name, table in raw.items()}


def _with_secrets(name: str, table: dict[str, Any]) -> dict[str, Any]:
    for field in _SECRETS:
        path = table.pop(f"{field}_file", None)
        if path is None:
            continue
        if field in table:
            raise ValueError(f"has both {field} and {field}_file in {name}")
        try:
            table[field] = Path(str(path)).read_bytes().decode().removesuffix("\n")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ValueError(
                f"has a {field}_file in {name} that cannot be read: {reason}"
            ) from None
    return table


def _duration(name: str, text: str) -> float:
    try:
        return read_duration(text)
    except ValueError as error:
        raise ValueError(f"has a time in {name} that {error}") from None


def _converted(tables: dict[str, dict[str, Any]], type_: Any) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.convert(tables, type_)
    except msgspec.ValidationError as error:
        # The message names the place and the type, and never the value.
        raise ValueError(f"cannot be read: {error}") from None
    return found


def _show(tables: tuple[Any, ...]) -> str:
    return ", ".join(each.name for each in tables)


CHANNELS: Final = Kind(
    "tables",
    'tables such as [channels.email] with kind = "email", or the same as JSON',
    read_channels,
    lambda tables: f"{_show(tables)} ({MASK})",
    secret=True,
)
VAPID_KEY: Final = Kind(
    "pem",
    "the key that `tocsin vapid create` prints",
    read_vapid_key,
    lambda _: MASK,
    secret=True,
)
VAPID_CONTACT: Final = Kind("url", "mailto:ops@example.com or an https: page", read_vapid_contact)
PUBLIC_URL: Final = Kind("url", "an address such as https://tocsin.example.com", read_public_url)
ESCALATIONS: Final = Kind(
    "tables",
    "tables such as [escalations.alarm] with steps, or the same as JSON",
    read_escalations,
    _show,
)
