"""`tocsin forget-user` in a cluster: posts that wait in Redis for the store name nobody either."""

from __future__ import annotations

import pytest
import redis

from servers.node import wait_until
from servers.tokens import SECRET, token
from tests.system.person_kit import Person
from tests.system.server_kit import Server, fresh_user
from tests.system.test_spool import expect_spooled, lose


@pytest.fixture
def settings(own_postgres, redis_url):
    return {"database": own_postgres.create_database(), "redis": redis_url, "drain-time": 0.2}


@pytest.fixture
def node(settings, tmp_path_factory):
    node = Server(tmp_path_factory.mktemp("node"), settings)
    yield node
    node.close()


@pytest.fixture
def forget(tocsin, settings, node):
    def forget(*arguments: str):
        where = (f"--database={settings['database']}", f"--url={node.url}")
        environment = {"TOCSIN_REDIS": settings["redis"], "TOCSIN_JWT_SECRET": SECRET}
        return tocsin("forget-user", *where, *arguments, **environment)

    return forget


def counts(result) -> dict[str, list[str]]:
    assert result.exit_code == 0, result.output
    return {
        name: numbers
        for name, *numbers in map(str.split, result.stdout.splitlines())
        if name.startswith("redis:")
    }


def values_in(url: str) -> bytes:
    """All that is kept in the Redis at *url*."""
    with redis.Redis.from_url(url) as client:
        keys: list[bytes] = list(client.scan_iter())
        streams = [client.xrange(key) for key in keys if client.type(key) == b"stream"]
    return repr((keys, streams)).encode()


def spool(node: Server, user: str, other: str) -> None:
    """Has posts of and for *user* wait in Redis."""
    producer = node.producer()
    expect_spooled(producer.try_post(user, title="for one"))
    expect_spooled(producer.try_post(user, other, title="for both"))
    expect_spooled(producer.try_post(other, title="for the other"))
    theirs = node.producer(token(user, "notify"))
    expect_spooled(theirs.try_post(other, title="by them", headers={"Idempotency-Key": "k"}))


def test_spooled_posts_are_stored_and_then_nothing_names_the_user(
    own_postgres, settings, node, forget
):
    """Although no node runs that would store it."""
    user, other = fresh_user("ada"), fresh_user("ben")
    node.start()
    lose(own_postgres, node)
    spool(node, user, other)
    node.kill()
    own_postgres.start()

    found = counts(forget(user))
    assert found == {"redis:waiting": ["3"], "redis:claims": ["1"]}
    assert user.encode() in values_in(settings["redis"])

    done = forget(user, "--yes")

    assert counts(done) == {"redis:waiting": ["3", "0"], "redis:claims": ["1", "0"]}
    assert "Nothing names them any more." in done.stdout
    assert user.encode() not in values_in(settings["redis"])
    assert "No row names them." in forget(user).stdout
    node.start()
    titles = ["by them", "for the other", "for both"]
    wait_until(lambda: Person(node, other).titles() == titles, what="what the other was sent")
    assert Person(node, user).titles() == []


def test_entries_set_aside_name_the_user_no_more(own_postgres, settings, node, forget):
    user, other = fresh_user("ada"), fresh_user("ben")
    node.start()
    theirs = node.producer(token(user, "notify"))
    twice = {"headers": {"Idempotency-Key": "twice"}}
    theirs.post(other, title="first", **twice)
    lose(own_postgres, node)
    expect_spooled(theirs.try_post(user, other, title="another meaning", **twice))
    own_postgres.start()
    aside = "tocsin:spool:poisoned"
    with redis.Redis.from_url(settings["redis"]) as client:
        wait_until(lambda: client.xlen(aside), what="the post to be set aside")

        done = forget(user, "--yes")

        assert counts(done) == {"redis:aside": ["1", "0"], "redis:claims": ["1", "0"]}
        assert user.encode() not in values_in(settings["redis"])
        [(_, fields)] = client.xrange(aside)
        assert other.encode() in fields[b"payload"]
    # A running node ended the sessions, and remembers that for those that did not hear of it.
    assert "For an hour, Redis keeps a mark" in done.stderr
    node.stop()


def test_a_redis_that_is_away_is_said_before_anything_is_removed(
    postgres_url, tocsin, tmp_path_factory
):
    user = fresh_user("ada")
    node = Server(tmp_path_factory.mktemp("node"), {"database": postgres_url, "drain-time": 0.2})
    try:
        node.start().producer().post(user)
        node.stop()
    finally:
        node.close()
    where = ("forget-user", user, f"--database={postgres_url}")
    refused = tocsin(*where, "--yes", TOCSIN_REDIS="redis://127.0.0.1:1/0")
    assert refused.exit_code == 1
    assert "Redis cannot be used now" in refused.stderr
    assert "inbox" in tocsin(*where).stdout
