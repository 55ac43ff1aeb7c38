"""`tocsin send`."""

import json
import socket

import httpx
import pytest

from servers.node import PATIENCE
from tests.cli.command_kit import last_line
from tests.system.server_kit import fresh_user


@pytest.fixture
def inbox(server, beside):
    """Reads a user's inbox."""

    def inbox(user):
        token = last_line(beside("token", user))
        answer = httpx.get(
            f"{server.url}/v1/inbox", headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE
        )
        return answer.json()["notifications"]

    return inbox


def test_it_posts_and_prints_the_id(beside, inbox):
    ada, bob = fresh_user("ada"), fresh_user("bob")
    sent = last_line(beside("send", ada, bob, "Hello", "--yes"))
    for user in (ada, bob):
        [notification] = inbox(user)
        assert (notification["id"], notification["title"]) == (sent, "Hello")


def test_a_user_is_whoever_an_identity_provider_names(beside, inbox):
    user = fresh_user("https://idp.example/users/Ädä|42?x=1&y")
    sent = last_line(beside("send", user, "Hello"))
    assert [each["id"] for each in inbox(user)] == [sent]


def test_every_field_can_be_given(beside, inbox):
    ada = fresh_user()
    sent = beside(
        *("send", ada, "Hello", "--body", "There", "--data-json", json.dumps({"a": [1]})),
        *("--url-link", "https://example.com/1", "--category", "news", "--priority", "high"),
        *("--ttl", "1h"),
    )
    assert sent.exit_code == 0
    [notification] = inbox(ada)
    expected = {
        "title": "Hello",
        "body": "There",
        "data": {"a": [1]},
        "url": "https://example.com/1",
        "category": "news",
        "priority": "high",
    }
    assert notification | expected == notification
    assert notification["expires_at"] is not None


def test_the_same_key_posts_once(beside, inbox):
    ada = fresh_user()
    first = beside("send", ada, "Hello", "--key", ada)
    again = beside("send", ada, "Hello", "--key", ada)
    assert last_line(first) == last_line(again)
    assert "nothing new was sent" in again.stderr
    assert len(inbox(ada)) == 1


def test_the_same_key_for_something_else_is_refused(beside):
    ada = fresh_user()
    beside("send", ada, "Hello", "--key", ada)
    refused = beside("send", ada, "Goodbye", "--key", ada)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "do:    give another --key, or none" in refused.stderr


def test_a_key_of_the_api_can_be_given(server, beside, tocsin):
    key = last_line(beside("key create", "--scope", "notify"))
    assert tocsin("send", "ada", "Hello", "--token", key, "--url", server.url).exit_code == 0


def test_a_refusal_says_what_where_and_what_to_do(beside):
    refused = beside("send", "ada", "x" * 257)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: Not sent: ")
    assert "(422 invalid)" in refused.stderr
    assert "where: $.title" in refused.stderr
    assert "do:    correct" in refused.stderr


def test_a_token_that_is_not_believed_is_told(server, tocsin):
    refused = tocsin("send", "ada", "Hello", "--token", "nonsense", "--url", server.url)
    assert refused.exit_code == 1
    assert "(401 token_malformed)" in refused.stderr


def test_a_token_without_the_scope_is_told(server, beside, tocsin):
    token = last_line(beside("token", "ada"))
    refused = tocsin("send", "ada", "Hello", "--token", token, "--url", server.url)
    assert refused.exit_code == 1
    assert "(403 scope_missing)" in refused.stderr
    assert "scope notify" in refused.stderr


def test_no_server_is_told(tocsin):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    result = tocsin("send", "ada", "Hello", "--token", "x", "--url", url, "--wait", "0")
    assert result.exit_code == 1
    assert f"{url} cannot be reached: Connection refused" in result.stderr
    assert "do:    start the server" in result.stderr


def test_a_name_that_nobody_has_is_told(tocsin):
    url = "http://nobody.invalid"
    result = tocsin("send", "ada", "Hello", "--token", "x", "--url", url, "--wait", "0")
    assert result.exit_code == 1
    assert "http://nobody.invalid cannot be reached" in result.stderr


def test_another_path_of_the_server_is_told(server, tocsin):
    result = tocsin("send", "ada", "Hello", "--token", "x", "--url", f"{server.url}/elsewhere")
    assert result.exit_code == 1
    assert "Not sent" in result.stderr


def test_without_a_secret_none_is_made(tocsin, tmp_path):
    result = tocsin("send", "ada", "Hello", "--wait", "0")
    assert result.exit_code == 1
    assert f"where: {tmp_path}/tocsin-data\n" in result.stderr
    assert "do:    start the server (tocsin serve)" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ada"], "USER..."),
        (["a b", "Hello"], "a user has 1 to 255 visible characters"),
        (["ada", "Hello", "--data-json", "./data"], "this is not JSON"),
        (["ada", "Hello", "--url", "localhost:8080"], "is not an address such as"),
        (["ada", "Hello", "--priority", "urgent"], "critical"),
        (["ada", "Hello", "--token", "two words"], "a token has no spaces"),
    ],
)
def test_wrong_usage_is_told_with_exit_code_2(tocsin, arguments, told):
    result = tocsin("send", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
