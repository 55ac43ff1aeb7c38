"""`tocsin listen`, beside a server."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
import pytest

from servers.node import PATIENCE, ROOT, wait_until
from servers.tokens import SECRET, bearer, token
from tests.cli.command_kit import Listener, last_line
from tests.system.server_kit import Server, fresh_user
from tocsin.cli.clients.listen import default_device


@pytest.fixture
def ada():
    return fresh_user("ada")


@pytest.fixture
def send(beside):
    """Sends a notification; its id."""
    return lambda *arguments: last_line(beside("send", *arguments))


@pytest.fixture
def deliveries(server, beside):
    """The ledger of a notification, as its producer reads it."""
    shop = last_line(beside("token", "shop", "--scope", "notify"))

    def deliveries(notification):
        answer = httpx.get(
            f"{server.url}/v1/notifications/{notification}/deliveries",
            headers=bearer(shop),
            timeout=PATIENCE,
        )
        return {line["device"]: line["outcome"] for line in answer.json()["deliveries"]}

    return deliveries


def titles(output):
    return [json.loads(line)["notification"]["title"] for line in output.splitlines()]


def test_a_notification_is_shown_on_one_line_and_acknowledged(listen, send, deliveries, ada):
    listener = listen(ada, "--device", "desk")
    listener.expect_news(f"Listening to {ada} as desk (0 unread).")

    notification = send(ada, "Hello", "--body", "two\nlines", "--category", "news")

    assert "  news  Hello: two lines\n" in listener.expect("Hello")
    wait_until(lambda: deliveries(notification) == {"desk": "acknowledged"})


def test_missed_notifications_come_first_and_shown_ones_do_not_come_again(listen, send, ada):
    send(ada, "one")
    first = listen(ada, "--json", "--once", 1)
    assert first.wait() == 0
    send(ada, "two")
    second = listen(ada, "--json", "--once", 1)
    assert second.wait() == 0
    assert titles(first.output) + titles(second.output) == ["one", "two"]


def test_once_leaves_nothing_unacknowledged(listen, send, deliveries, ada):
    notification = send(ada, "Hello")
    assert listen(ada, "--device", "desk", "--once", 1).wait() == 0
    assert deliveries(notification) == {"desk": "acknowledged"}


def test_ctrl_c_is_a_clean_end_with_everything_acknowledged(listen, send, deliveries, ada):
    listener = listen(ada, "--device", "desk")
    listener.expect_news("Listening")
    notification = send(ada, "Hello")
    listener.expect("Hello")
    assert listener.interrupt() == 0
    assert deliveries(notification) == {"desk": "acknowledged"}


def test_without_acknowledging_the_server_sends_it_again(listen, send, deliveries, ada):
    notification = send(ada, "Hello")
    for _ in range(2):
        watcher = listen(ada, "--device", "desk", "--no-ack", "--once", 1)
        assert watcher.wait() == 0
        assert "Hello" in watcher.output
        assert deliveries(notification) == {"desk": "pending"}


def test_from_start_shows_all_that_is_retained(listen, send, ada):
    for title in ("one", "two"):
        send(ada, title)
    assert listen(ada, "--device", "first", "--once", 2).wait() == 0
    listener = listen(ada, "--device", "second", "--from-start", "--json", "--once", 2)
    assert listener.wait() == 0
    assert titles(listener.output) == ["one", "two"]


def test_changes_and_withdrawals_are_shown(server, beside, listen, send, ada):
    headers = bearer(last_line(beside("token", "shop", "--scope", "notify")))
    listener = listen(ada)
    listener.expect_news("Listening")
    path = f"{server.url}/v1/notifications/{send(ada, 'Hello')}"
    listener.expect("default  Hello")
    httpx.patch(path, headers=headers, json={"title": "Hello again"}, timeout=PATIENCE)
    listener.expect("default  (updated)  Hello again")
    httpx.delete(path, headers=headers, timeout=PATIENCE)
    listener.expect("default  (withdrawn)  Hello again")


def test_servers_come_and_go_and_nothing_is_lost_or_shown_twice(tmp_path, ada):
    settings, environment = {"drain-time": 0.5}, {"TOCSIN_JWT_SECRET": SECRET}
    server = Server(tmp_path, settings, environment=environment)
    listener = Listener(server, tmp_path, ada, "--json")

    def send(title):
        assert server.producer(token("shop", "notify")).post(ada, title=title)
        listener.expect(title)

    try:
        listener.expect_news(f"No connection to {server.url}: Connection refused. Trying again in")
        server.start()
        listener.expect_news("Listening")
        send("one")
        server.kill()
        listener.expect_news("The connection was lost. Trying again in")
        server.start()
        listener.expect_news("Listening", count=2)
        send("two")
        assert server.stop() == 0
        listener.expect_news("The server is stopping. Trying again in 0.")
        assert listener.interrupt() == 0
        assert titles(listener.output) == ["one", "two"]
    finally:
        listener.close()
        server.close()


def test_the_same_device_again_replaces_the_first_which_stops(listen, ada):
    first = listen(ada, "--device", "desk")
    first.expect_news("Listening")
    second = listen(ada, "--device", "desk")
    second.expect_news("Listening")
    assert first.wait() == 1
    assert "Another connection has taken the place" in first.news
    assert "--device" in first.news


def test_a_user_whom_an_operator_disconnects_stays_away(server, beside, listen, ada):
    headers = bearer(last_line(beside("token", "root", "--scope", "admin")))
    listener = listen(ada)
    listener.expect_news("Listening")
    httpx.post(f"{server.url}/v1/admin/users/{ada}/disconnect", headers=headers, timeout=PATIENCE)
    assert listener.wait() == 1
    assert "An operator has disconnected this user." in listener.news


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda beside: "nonsense", "does not accept the token"),
        (lambda beside: last_line(beside("token", "bob")), "The token is bob's and not ada"),
        (lambda beside: last_line(beside("key create", "--scope", "notify")), "has no inbox"),
    ],
)
def test_a_credential_that_will_not_do_is_told_at_once(server, beside, tocsin, ada, make, told):
    result = tocsin("listen", ada, "--token", make(beside), "--url", server.url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert told in result.stderr


def test_a_token_of_another_server_is_told_with_where_this_one_keeps_its_data(server, tocsin):
    other = token("ada", secret="a secret of another server's, which is long enough")
    result = tocsin("listen", "ada", "--token", other, "--url", server.url)
    assert result.exit_code == 1
    assert f"This server keeps its data in {server.settings['data']}" in result.stderr


def test_a_server_that_is_no_tocsin_is_told_at_once(server, tocsin):
    result = tocsin("listen", "ada", "--token", "x", "--url", f"{server.url}/elsewhere")
    assert result.exit_code == 1
    assert "refused the connection (404)" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a b"], "a user has"),
        (["ada", "--device", "a b"], "a device has"),
        (["ada", "--cursor", "x"], "not a cursor"),
        (["ada", "--cursor", "0", "--from-start"], "not both"),
        (["ada", "--once", "0"], "x>=1"),
    ],
)
def test_wrong_usage_is_told_with_exit_code_2(tocsin, arguments, told):
    result = tocsin("listen", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr


def test_the_device_is_named_after_the_host():
    assert default_device("laptop") == "cli-laptop"
    assert default_device("møøse host") == "cli-m--se-host"
    assert default_device("") == "cli-host"


def test_a_reader_that_has_seen_enough_ends_it_quietly(server, send, ada):
    for title in ("one", "two", "three"):
        send(ada, title)
    command = [sys.executable, "-m", "tocsin", "listen", ada, "--url", server.url]
    listen = subprocess.Popen(
        [*command, "--data", str(server.settings["data"])],
        cwd=ROOT,
        env=server.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert listen.stdout is not None
    assert listen.stderr is not None
    listen.stdout.close()
    try:
        assert b"Traceback" not in listen.stderr.read()
        assert listen.wait(15) == 0
    finally:
        listen.stderr.close()
        listen.kill()
