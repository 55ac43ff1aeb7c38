"""`tocsin channel` and `tocsin vapid`."""

from __future__ import annotations

import json

from servers.machine import free_port
from tocsin.protocol.channels.webpush import public_key_text, read_private_key


def test_a_key_for_web_push_is_printed_alone_and_can_be_set(tocsin):
    made = tocsin("vapid", "create")

    assert made.exit_code == 0
    key = read_private_key(made.stdout)
    assert public_key_text(key) in made.stderr
    checked = tocsin(
        *("config", "check"),
        TOCSIN_JWT_SECRET="correct horse battery staple, twice",
        TOCSIN_CHANNELS=json.dumps({"webpush": {"kind": "webpush"}}),
        TOCSIN_VAPID_PRIVATE_KEY=made.stdout,
        TOCSIN_VAPID_CONTACT="mailto:ops@example.org",
    )
    assert checked.exit_code == 0, checked.output
    assert "PRIVATE" not in checked.output


def test_channels_are_listed_with_what_became_of_their_sends(start, tocsin):
    table = {"kind": "email", "host": "127.0.0.1", "port": free_port(), "from": "a@example.org"}
    server = start(TOCSIN_CHANNELS=json.dumps({"email": table})).start()

    listed = tocsin(*("channel", "list", "--url", server.url, "--data", server.settings["data"]))

    assert listed.exit_code == 0, listed.output
    head, line = listed.stdout.splitlines()
    assert head.split() == ["NAME", "KIND", "STATE", "WAITING", "OUTCOMES", "LAST", "ERROR"]
    assert line.split() == ["email", "email", "ok", "0", "-", "-"]


def test_without_channels_it_says_so(server, tocsin):
    listed = tocsin(*("channel", "list", "--url", server.url, "--data", server.settings["data"]))

    assert (listed.exit_code, listed.stdout) == (0, "")
    assert "no channels are set" in listed.stderr
