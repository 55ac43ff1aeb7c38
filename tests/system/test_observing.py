"""The operator's view: a real Prometheus scrapes a real cluster."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from cluster import dashboard
from servers.machine import free_port
from servers.node import wait_until
from servers.prometheus import Prometheus
from servers.redis import BusServer
from tests.system.person_kit import Person
from tests.system.server_kit import Server, fresh_user
from tests.system.test_cluster import start_pair
from tests.test_monitoring import ALERTS, rules


@pytest.fixture(scope="module")
def watched(
    postgres, redis_server: BusServer, tmp_path_factory
) -> Iterator[tuple[tuple[Server, Server], Prometheus]]:
    """Two nodes under a little load, and the Prometheus that scrapes them."""
    servers: list[Server] = []
    ports: list[int] = []

    def make(**settings: object) -> Server:
        ports.append(free_port())
        servers.append(
            Server(tmp_path_factory.mktemp("node"), {**settings, "metrics-port": ports[-1]})
        )
        return servers[-1].start()

    try:
        pair = start_pair(make, postgres.create_database(), redis_server.create_database())
        with Prometheus([f"127.0.0.1:{port}" for port in ports], ALERTS) as prometheus:
            yield pair, prometheus
    finally:
        for each in servers:
            each.close()


def test_every_chart_of_the_dashboard_has_something_to_show(watched):
    (first, second), prometheus = watched
    ada = fresh_user()
    with first.device(ada, "phone") as phone, second.device(ada, "web") as web:
        phone.expect_synced()
        web.expect_synced()
        producer, person = first.producer(), Person(first, ada)

        def shown(query: str) -> bool:
            # Rates are of what happens now.
            producer.post(ada)
            for device in (phone, web):
                device.ack(device.expect_push())
            person.page()
            return numbers(prometheus, query)

        for query in map(filled, dashboard.queries()):
            wait_until(partial(shown, query), what=query)


def test_the_autoscaler_s_query_gives_the_sessions_of_each_node(watched):
    _, prometheus = watched
    query = "sum(tocsin_sessions{}) by (instance)"  # as prometheus-adapter fills its template in
    wait_until(lambda: len(prometheus.query(query)) == 2, what="both nodes")
    # KEDA refuses an answer of more than one element.
    assert len(prometheus.query('sum(tocsin_sessions{job="tocsin"})')) == 1


def test_no_alert_is_pending_in_a_healthy_cluster_and_a_killed_node_makes_one(watched):
    (_, second), prometheus = watched
    for rule in rules():
        prometheus.query(rule["expr"])
    wait_until(lambda: len(prometheus.query("up == 1")) == 2, what="both nodes to be scraped")
    critical = 'ALERTS{severity="critical"}'
    assert prometheus.query(critical) == []

    second.kill()

    found = wait_until(lambda: prometheus.query(critical), what="an alert")
    assert {each["metric"]["alertname"] for each in found} == {"TocsinDown"}


def filled(query: str) -> str:
    """*query* with Grafana's variables filled in."""
    return query.replace("$__rate_interval", "10s").replace("$job", "tocsin")


def numbers(prometheus: Prometheus, query: str) -> bool:
    """Whether *query* finds numbers; a quantile of nothing is none."""
    found = prometheus.query(query)
    return bool(found) and all(each["value"][1] != "NaN" for each in found)
