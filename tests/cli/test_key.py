"""`tocsin key`, with and without a server on the same database."""

import json
import os
import pwd
import re

import httpx
import pytest

from servers.node import PATIENCE, wait_until
from tests.cli.command_kit import last_line


def post(server, key):
    return httpx.post(
        f"{server.url}/v1/notifications",
        headers={"Authorization": f"Bearer {key}"},
        json={"to": {"users": ["ada"]}, "title": "Hello"},
        timeout=PATIENCE,
    )


def rows(result):
    """The table of `key list`, by name of the key."""
    assert result.exit_code == 0, result.output
    head, *lines = (re.split(r" {2,}", line) for line in result.stdout.splitlines())
    assert head == ["ID", "NAME", "SCOPES", "CREATED", "REVOKED"]
    return {line[1]: dict(zip(head, line, strict=True)) for line in lines}


def test_a_running_server_knows_a_new_key_at_once(server, beside):
    key = last_line(beside("key create", "--scope", "notify", "--name", "shop"))
    assert post(server, key).status_code == 201


def test_a_running_server_has_forgotten_a_revoked_key_in_five_seconds(server, beside):
    key = last_line(beside("key create", "--scope", "notify", "--name", "leaked"))
    assert post(server, key).status_code == 201
    row = rows(beside("key list"))["leaked"]
    assert row["REVOKED"] == "-"

    assert beside("key revoke", row["ID"]).exit_code == 0

    wait_until(lambda: post(server, key).status_code == 401, patience=6)
    assert post(server, key).json()["code"] == "key_revoked"
    assert rows(beside("key list"))["leaked"]["REVOKED"] != "-"


def test_a_key_has_the_scopes_that_were_named(server, beside):
    key = last_line(beside("key create", "--scope", "admin", "--name", "looks"))
    assert post(server, key).status_code == 403
    answer = httpx.get(
        f"{server.url}/metrics", headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE
    )
    assert answer.status_code == 200
    assert rows(beside("key list"))["looks"]["SCOPES"] == "admin"


@pytest.fixture
def here(tocsin):
    """As `tocsin`, where a database was made and no server runs."""
    assert tocsin("migrate").exit_code == 0
    return tocsin


def test_no_server_is_needed(here):
    key = last_line(here("key", "create", "--scope", "notify,admin"))
    assert re.fullmatch(r"tk_[a-z2-7]{16}_[a-z2-7]{52}", key)
    [row] = rows(here("key", "list")).values()
    assert (row["ID"], row["NAME"], row["SCOPES"]) == (key.split("_")[1], "-", "admin,notify")


@pytest.mark.parametrize(
    "arguments", [["create", "--scope", "notify"], ["list"], ["revoke", "a" * 16]]
)
def test_no_database_is_made_and_it_says_where_it_looked(tocsin, tmp_path, arguments):
    for where, looked in (
        ([], "tocsin-data/tocsin.db"),
        (["--data", "x"], "x/tocsin.db"),
        (["--database", "sqlite:///x/t.db"], "x/t.db"),
    ):
        result = tocsin("key", *arguments, *where)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "There is no database of Tocsin yet" in result.stderr
        assert f"where: sqlite:///{tmp_path}/{looked}\n" in result.stderr
        assert "do:    start the server, which makes it (tocsin serve)" in result.stderr
        assert "name its data directory with --data" in result.stderr
    assert not list(tmp_path.iterdir())


def test_making_and_revoking_a_key_leaves_a_line_with_the_users_name(here):
    made = here("key", "create", "--scope", "notify", TOCSIN_LOG_FORMAT="json", USER="mallory")
    id_, secret = last_line(made).split("_")[1:]
    revoked = here("key", "revoke", id_, TOCSIN_LOG_FORMAT="json", TOCSIN_LOG_LEVEL="error")
    lines = [
        json.loads(line)
        for result in (made, revoked)
        for line in result.stderr.splitlines()
        if line.startswith("{")
    ]
    user = pwd.getpwuid(os.getuid()).pw_name
    assert [(line["event"], line["key"], line["os_user"]) for line in lines] == [
        ("API key made", id_, user),
        ("API key revoked", id_, user),
    ]
    assert {line["logger"] for line in lines} == {"audit"}
    assert secret not in made.stderr


def test_a_key_that_was_not_there_to_revoke_leaves_no_line(here):
    assert "audit" not in here("key", "revoke", "a" * 16).stderr


def test_the_database_holds_no_key(here, tmp_path):
    secret = last_line(here("key", "create", "--scope", "notify")).split("_")[2]
    files = list((tmp_path / "tocsin-data").iterdir())
    assert files
    assert not any(secret.encode() in file.read_bytes() for file in files)


def test_an_empty_list_says_how_to_begin(here):
    result = here("key", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "key create --scope notify" in result.stderr


def test_the_whole_key_may_be_given_for_its_id_and_again_is_no_error(here):
    key = last_line(here("key", "create", "--scope", "notify"))
    assert here("key", "revoke", key).exit_code == 0
    assert here("key", "revoke", key.rpartition("_")[0]).exit_code == 0


def test_a_key_that_does_not_exist_is_told(here):
    result = here("key", "revoke", "a" * 16)
    assert result.exit_code == 1
    assert "There is no key with the id aaaaaaaaaaaaaaaa." in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["create"],
        ["create", "--scope", "root"],
        ["create", "--scope", "notify", "--name", "two\nlines"],
        ["revoke", "what?"],
    ],
)
def test_wrong_usage_has_exit_code_2_and_makes_nothing(tocsin, tmp_path, arguments):
    assert tocsin("key", *arguments).exit_code == 2
    assert not list(tmp_path.iterdir())


def test_postgres_works_as_well(tocsin, postgres_url):
    assert tocsin("migrate", TOCSIN_DATABASE=postgres_url).exit_code == 0
    key = last_line(tocsin("key", "create", "--scope", "notify", TOCSIN_DATABASE=postgres_url))
    assert key.startswith("tk_")
    assert len(rows(tocsin("key", "list", TOCSIN_DATABASE=postgres_url))) == 1


@pytest.mark.parametrize(
    ("database", "named"),
    [
        ("postgres://tocsin:hunter2@127.0.0.1:1/tocsin", "postgres://********@127.0.0.1:1/tocsin"),
        ("postgres://127.0.0.1:1/tocsin", "postgres://127.0.0.1:1/tocsin"),
        ("sqlite:////dev", "sqlite:////dev"),
    ],
)
def test_a_store_that_is_away_is_told_without_its_password(tocsin, database, named):
    result = tocsin("key", "list", "--database", database)
    assert result.exit_code == 1
    assert "The store cannot be used now" in result.stderr
    assert f"where: {named}" in result.stderr
    assert "hunter2" not in result.output
