"""API keys over HTTP: the list, a new one that works, and its end."""

from __future__ import annotations

import pytest

from servers.node import wait_until
from servers.tokens import ADMIN, bearer, token
from tests.system.producer_kit import expect_json, expect_problem
from tests.system.server_kit import Server

PATH = "/v1/admin/keys"
BOTH = bearer(token("root", "admin notify"))


def make(server: Server, headers: dict[str, str], *scopes: str, name: str = ""):
    return server.http.post(PATH, json={"scopes": list(scopes), "name": name}, headers=headers)


def test_a_key_is_made_listed_used_and_revoked(server: Server, ada: str):
    made = expect_json(make(server, BOTH, "notify", name="shop"), 201)
    server.producer(made["text"]).post(ada)

    def line():
        keys = expect_json(server.http.get(PATH, headers=BOTH))["keys"]
        return next(each for each in keys if each["id"] == made["id"])

    assert (line()["name"], line()["scopes"], line()["revoked_at"]) == ("shop", ["notify"], None)
    assert made["text"] not in server.http.get(PATH, headers=BOTH).text
    for _ in range(2):
        answer = server.http.delete(f"{PATH}/{made['id']}", headers=BOTH)
        assert answer.status_code == 204
    assert line()["revoked_at"] is not None
    wait_until(lambda: server.producer(made["text"]).try_post(ada).status_code == 401)


def test_no_key_is_made_with_a_scope_that_its_maker_has_not(server: Server):
    expect_problem(make(server, bearer(ADMIN), "notify"), 403)
    expect_json(make(server, bearer(ADMIN), "admin"), 201)


@pytest.mark.parametrize("scopes", [[], ["root"], ["admin", "notify", "admin"]], ids=str)
def test_a_wish_that_makes_no_sense_is_refused(server: Server, scopes):
    expect_problem(make(server, BOTH, *scopes), 422)


def test_a_key_of_which_nothing_is_known_cannot_be_revoked(server: Server):
    expect_problem(server.http.delete(f"{PATH}/{'a' * 16}", headers=BOTH), 404)


def test_a_name_is_one_line(server: Server):
    expect_problem(make(server, BOTH, "admin", name="two\nlines"), 422)
    expect_problem(make(server, BOTH, "admin", name="x" * 101), 422)
