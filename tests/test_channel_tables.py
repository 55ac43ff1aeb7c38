"""Tables of channels and of policies: as TOML or JSON, and what is wrong with them."""

from __future__ import annotations

import json
import re

import pytest

from tocsin.actors.world import World
from tocsin.protocol.channels.escalation import EscalationStep
from tocsin.protocol.outbound import NOWHERE
from tocsin.settings import Settings
from tocsin.settings.channel_tables import (
    EmailTable,
    escalation_rules,
    read_channels,
    read_escalations,
    read_public_url,
    read_vapid_contact,
    read_vapid_key,
)
from tocsin.settings.setting import SettingsError
from tocsin.settings.sources import load_settings, resolve
from tocsin.wiring import make_channels

EMAIL = {"kind": "email", "host": "mail.example.org", "from": "Tocsin <tocsin@example.org>"}
ALARM = {"steps": [{"after": "1m", "channel": "email"}], "categories": ["alarms"]}


def settings(**more: str) -> Settings:
    environ = {
        "TOCSIN_CHANNELS": json.dumps({"email": EMAIL}),
        "TOCSIN_ESCALATIONS": json.dumps({"alarm": ALARM}),
        **more,
    }
    return load_settings({}, environ)


def test_a_file_and_variables_say_the_same(tmp_path):
    path = tmp_path / "tocsin.toml"
    path.write_text(
        '[channels.email]\nkind = "email"\nhost = "mail.example.org"\n'
        'from = "Tocsin <tocsin@example.org>"\n'
        '[escalations.alarm]\nsteps = [{ after = "1m", channel = "email" }]\n'
        'categories = ["alarms"]\n'
    )
    of_file = load_settings({"config": str(path)}, {})
    of_variables = settings()

    assert of_file.channels == of_variables.channels
    assert of_file.escalations == of_variables.escalations
    rules = escalation_rules(of_file.channels, of_file.escalations)
    assert rules.policies == {"alarm": (EscalationStep(after=60.0, channel="email"),)}
    assert rules.of_category == {"alarms": "alarm"}


def test_a_password_comes_from_a_file_and_is_never_shown(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("sesame\n")
    table = {**EMAIL, "user": "tocsin", "password_file": str(secret)}

    [read] = read_channels({"email": table})

    assert isinstance(read, EmailTable)
    assert read.password == "sesame"
    shown = resolve({}, {"TOCSIN_CHANNELS": json.dumps({"email": table})})
    assert "sesame" not in repr(shown.settings)


@pytest.mark.parametrize(
    ("tables", "wrong"),
    [
        ("{", "is no JSON"),
        ({"email": "x"}, "is not a table of tables"),
        ({"email": {"kind": "pigeon"}}, "pigeon"),
        ({"email": {**EMAIL, "colour": "red"}}, "colour"),
        ({"email": {**EMAIL, "host": ""}}, "host"),
        ({"email": {**EMAIL, "from": "nobody"}}, "no mail address"),
        ({"E-Mail": EMAIL}, "cannot be read"),
        ({"inbox": EMAIL}, "named inbox"),
        ({"email": {**EMAIL, "password_file": "/nowhere"}}, "cannot be read"),
        ({"email": {**EMAIL, "password": "x", "password_file": "/nowhere"}}, "both"),
    ],
)
def test_tables_that_cannot_be_are_refused(tables, wrong):
    with pytest.raises(ValueError, match=re.escape(wrong)):
        read_channels(tables)


@pytest.mark.parametrize(
    ("tables", "wrong"),
    [
        ({"alarm": {"steps": []}}, "cannot be read"),
        ({"alarm": {"steps": [{"after": "soon", "channel": "email"}]}}, "has a time in alarm"),
        ({"alarm": {**ALARM, "categories": ["Not One"]}}, "cannot be read"),
    ],
)
def test_policies_that_cannot_be_are_refused(tables, wrong):
    with pytest.raises(ValueError, match=wrong):
        read_escalations(tables)


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ({"TOCSIN_CHANNELS": "{}"}, "a policy alarm that cannot be done"),
        ({"TOCSIN_ESCALATIONS": json.dumps({"a": ALARM, "b": ALARM})}, "two policies"),
        ({"TOCSIN_CHANNELS": json.dumps({"email": EMAIL, "w": {"kind": "webpush"}})}, "vapid"),
        ({"TOCSIN_VAPID_PRIVATE_KEY": "no key"}, "is not a private key"),
        ({"TOCSIN_VAPID_CONTACT": "me"}, "mailto"),
        ({"TOCSIN_PUBLIC_URL": "tocsin.example.org"}, "is not an address"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(more, wrong):
    with pytest.raises(SettingsError, match=wrong):
        settings(**more)


def test_files_of_a_channel_that_cannot_be_read_end_the_start():
    table = {**EMAIL, "ca_file": "/nowhere/ca.pem"}
    made = settings(TOCSIN_CHANNELS=json.dumps({"email": table}))
    world = World(lambda: 0, lambda: 0.5, bytes)

    with pytest.raises(SettingsError, match="ca_file"):
        make_channels(made, world, NOWHERE, lambda: "secret")


def test_each_kind_of_channel_checks_addresses_in_its_own_way():
    tables = {
        "email": EMAIL,
        "pager": {"kind": "webhook", "url": "https://duty.example", "secret": "whsec_" + "A" * 44},
        "chat": {"kind": "apprise", "url": "json://x/{address}"},
    }
    world = World(lambda: 0, lambda: 0.5, bytes)
    made = make_channels(
        settings(TOCSIN_CHANNELS=json.dumps(tables)), world, NOWHERE, lambda: "secret"
    )

    assert {name: line.terms.kind for name, line in made.lines.items()} == {
        "chat": "apprise",
        "email": "email",
        "pager": "webhook",
    }
    for name, right, wrong in (
        ("email", "a@b.org", "a"),
        ("pager", "x", "\n"),
        ("chat", "7", "a/b"),
    ):
        checked = made.lines[name].terms.checked
        assert checked(right) == right
        with pytest.raises(ValueError, match=r"is not|does not"):
            checked(wrong)


def test_addresses_and_contacts_are_read_as_they_are():
    assert read_public_url("https://tocsin.example.org/x/") == "https://tocsin.example.org/x"
    assert read_vapid_contact("mailto:ops@example.org") == "mailto:ops@example.org"
    with pytest.raises(ValueError, match="private key"):
        read_vapid_key("-----BEGIN NOTHING-----")
