"""`tocsin dead-letters`."""

import json

import pytest

from servers.node import wait_until
from tests.cli.command_kit import last_line
from tests.system.server_kit import fresh_user


@pytest.fixture
def letters(server, tocsin):
    """Runs a command of the group beside the server."""

    def letters(command, *arguments):
        where = ["--url", server.url, "--data", server.settings["data"]]
        return tocsin("dead-letters", command, *arguments, *where)

    return letters


@pytest.fixture
def dead(beside, letters):
    """A dead letter: its user, its id and that of its notification."""
    user = fresh_user()
    notification = last_line(beside("send", user, "Too late", "--ttl", "1s"))
    rows = wait_until(lambda: letters("list", "--user", user).stdout.splitlines()[1:])
    assert len(rows) == 1
    return user, rows[0].split()[0], notification


def test_they_are_listed_and_shown(letters, dead):
    user, letter, notification = dead
    heading, row = letters("list", "--notification", notification).stdout.splitlines()
    assert heading.split()[:3] == ["ID", "DEAD", "USER"]
    assert row.split()[2:] == [user, "-", notification, "expired", "0", "dead"]

    shown = json.loads(letters("show", letter).stdout)
    assert (str(shown["id"]), shown["content"]["title"]) == (letter, "Too late")


def test_one_is_replayed_once(letters, dead):
    user, letter, _ = dead
    assert letters("replay", letter).stdout == f"{letter} is on its way again.\n"
    again = letters("replay", letter)
    assert (again.exit_code, again.stdout) == (1, "")
    assert f"{letter} is not replayed" in again.stderr
    assert "(409 conflict)" in again.stderr
    assert "There are none" in letters("list", "--user", user).stderr
    assert letter in letters("list", "--user", user, "--status", "all").stdout


def test_one_is_discarded_and_again_is_no_error(letters, dead):
    _, letter, _ = dead
    for _ in range(2):
        assert letters("discard", letter).stdout == f"{letter} is discarded.\n"


def test_there_may_be_more(letters, beside):
    user = fresh_user()
    for _ in range(2):
        beside("send", user, "Too late", "--ttl", "1s")
    wait_until(lambda: len(letters("list", "--user", user).stdout.splitlines()) == 3)
    first = letters("list", "--user", user, "--limit", "1")
    before = first.stderr.split()[-1]
    second = letters("list", "--user", user, "--limit", "1", "--before", before)
    assert first.stdout.splitlines()[1:] != second.stdout.splitlines()[1:]
    assert second.stderr == ""


def test_one_that_is_not_there_is_told(letters):
    for command in ("show", "replay", "discard"):
        told = letters(command, 9_007_199_254_740_992)
        assert told.exit_code == 1
        assert "(404 not_found)" in told.stderr
        assert "dead-letters list --status all" in told.stderr


def test_a_key_without_the_scope_is_told(server, beside, tocsin):
    key = last_line(beside("key create", "--scope", "notify"))
    told = tocsin("dead-letters", "list", "--token", key, "--url", server.url)
    assert told.exit_code == 1
    assert "(403 scope_missing)" in told.stderr
    assert "scope admin" in told.stderr


def test_an_admin_key_will_do(server, beside, tocsin):
    key = last_line(beside("key create", "--scope", "admin"))
    listed = tocsin("dead-letters", "list", "--token", key, "--url", server.url)
    assert listed.exit_code == 0


@pytest.mark.parametrize(
    "arguments", [["show"], ["show", "x"], ["show", "0"], ["replay"], ["list", "--limit", "201"]]
)
def test_wrong_usage_is_told_with_exit_code_2(tocsin, arguments):
    assert tocsin("dead-letters", *arguments).exit_code == 2
