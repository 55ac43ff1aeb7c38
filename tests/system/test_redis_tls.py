"""A node and a Redis that speaks TLS."""

from __future__ import annotations

from servers.node import wait_until
from tests.system.producer_kit import expect_json
from tests.system.server_kit import fresh_user
from tests.system.test_cluster import health


def test_a_node_that_is_given_the_authority_works_with_it(start_server, postgres_url, tls_redis):
    tls_redis.restart(password="p@ss/word?#")
    node = start_server(database=postgres_url, redis=tls_redis.create_database())
    wait_until(lambda: health(node) == ("ok", "ok"), what="the bus")
    assert expect_json(node.http.get("/readyz"))["hops"]["spool"] == "ok"


def test_a_node_that_is_not_refuses_it_and_logs_why(start_server, postgres_url, tls_redis):
    node = start_server(database=postgres_url, redis=tls_redis.url.partition("?")[0])
    wait_until(
        lambda: any("certificate verify failed" in str(line) for line in node.log()),
        what="the reason in the log",
    )
    assert health(node) == ("degraded", "lost")
    assert node.producer().post(fresh_user())
