"""Mails as they are composed, and templates."""

from __future__ import annotations

import msgspec
import pytest

from tocsin.carriers.mail import MailTemplates, Postmark, compose
from tocsin.carriers.smtp import checked_mail_address
from tocsin.protocol.channels.carrying import CarriedNotification, Parcel

NOW = 1_700_000_000_000


def parcel(*titles: str, category: str = "builds", **fields: object) -> Parcel:
    return Parcel(
        send="n.1.0.abc",
        user="ada",
        name="main",
        value="ada@example.org",
        notifications=tuple(
            CarriedNotification(
                str(number),
                msgspec.json.encode(
                    {"title": title, "body": None, "url": None, "category": category, **fields}
                ).decode(),
            )
            for number, title in enumerate(titles)
        ),
        now_ms=NOW,
    )


def postmark(templates: MailTemplates | None = None) -> Postmark:
    return Postmark(
        "Tocsin <tocsin@example.org>",
        templates or MailTemplates(),
        lambda user, category: f"https://tocsin.example/{user}/{category}",
    )


def test_a_digest_has_the_first_title_and_the_number_of_the_others_for_its_subject():
    mail = compose(parcel("one", "two", "three"), postmark())

    assert mail["Subject"] == "one (and 2 more)"
    body = mail.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    assert text.index("one") < text.index("two") < text.index("three")
    assert mail["List-Unsubscribe"] == "<https://tocsin.example/ada/builds>"


def test_a_digest_of_several_categories_has_no_link():
    both = parcel("one").notifications + parcel("two", category="alarms").notifications
    mail = compose(msgspec.structs.replace(parcel("one"), notifications=both), postmark())

    assert mail["List-Unsubscribe"] is None


@pytest.mark.parametrize("title", ["a\r\nBcc: x@example.org", "a\x00b", "ä" * 256, "x" * 5000])
def test_no_title_makes_another_header_or_a_subject_without_end(title):
    raw = compose(parcel(title), postmark()).as_bytes()

    headers = raw.partition(b"\r\n\r\n")[0]
    assert b"\r\nBcc:" not in headers
    assert all(len(line) <= 998 for line in headers.split(b"\r\n"))


def test_only_addresses_of_the_web_become_links():
    mail = compose(parcel("a", url="javascript:alert(1)", body='<a href="x">'), postmark())

    rich = mail.get_body(("html",))
    assert rich is not None
    text = rich.get_content()
    assert 'href="javascript' not in text
    assert '<a href="x">' not in text


def test_templates_of_the_operators_own_take_the_place_of_ours(tmp_path):
    (tmp_path / "item.txt").write_text("* $title [$category] $$5\n")
    mail = compose(parcel("one", "two"), postmark(MailTemplates(tmp_path)))

    body = mail.get_body(("plain",))
    assert body is not None
    assert body.get_content().startswith("* one [builds] $5\n\n* two [builds] $5\n")


@pytest.mark.parametrize("content", [b"costs $5", b"\xff\xfe", b"x" * 300_000])
def test_a_file_that_is_no_template_is_refused(tmp_path, content):
    (tmp_path / "mail.html").write_bytes(content)
    with pytest.raises(ValueError, match=r"mail\.html|utf-8"):
        MailTemplates(tmp_path)


@pytest.mark.parametrize("address", ["ada@example.org", "a.b+c@xn--bcher-kva.example"])
def test_mail_addresses_are_taken(address):
    assert checked_mail_address(address) == address


@pytest.mark.parametrize(
    "address",
    ["", "ada", "@x", "a b@x.org", "a@x..org", "a@x.org\r\nRCPT TO:<b@x.org>", "ä@x.org", "a@b@c"],
)
def test_other_addresses_are_not(address):
    with pytest.raises(ValueError, match="is not a mail address"):
        checked_mail_address(address)
