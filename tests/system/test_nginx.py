"""Behind a real nginx: what it makes of our answers, and what they make it believe."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx

from servers.nginx import Nginx
from servers.node import PATIENCE
from tests.system.plain_http_kit import try_poll
from tests.system.producer_kit import Producer, expect_json

READ_TIMEOUT = 3
"""Seconds. It is 60 where nobody says otherwise, as `poll_wait_max` is 50: the same, but sooner."""


def test_a_poll_answers_before_nginx_takes_the_node_for_dead(start_server, ada):
    server = start_server(poll_wait_max="1s")
    node = f"127.0.0.1:{server.port}"
    with (
        Nginx([node, node], location=f"proxy_read_timeout {READ_TIMEOUT}s;") as nginx,
        ThreadPoolExecutor(4) as pool,
    ):
        polls = [
            pool.submit(try_poll, nginx, ada, device=f"web-{number}", wait=60) for number in "1234"
        ]
        for poll in polls:
            answer = expect_json(poll.result())
            assert (answer["changes"], answer["more"]) == ([], False)
        # The proxy has counted no failure: all other clients are served.
        for _ in range(4):
            assert (
                httpx.get(f"{nginx.url}/livez", verify=False, timeout=PATIENCE).status_code == 200
            )


def test_a_tag_that_nginx_has_weakened_will_do(server, producer: Producer, ada):
    compressing = "gzip on; gzip_types application/json; gzip_min_length 1; gzip_proxied any;"
    path = f"/v1/notifications/{producer.post(ada, body='long ' * 400)}"
    with (
        Nginx([f"127.0.0.1:{server.port}"], server=compressing) as nginx,
        httpx.Client(base_url=nginx.url, verify=False) as http,
    ):
        through = Producer(http, producer.credential)
        seen = through.request("GET", path)
        assert (seen.headers["Content-Encoding"], seen.headers["ETag"][:5]) == ("gzip", 'W/"1-')

        again = through.request("GET", path, headers={"If-None-Match": seen.headers["ETag"]})
        assert again.status_code == 304
        tag = {"If-Match": seen.headers["ETag"]}
        assert expect_json(through.request("PATCH", path, json={"title": "2"}, headers=tag))
        assert through.request("PATCH", path, json={"title": "3"}, headers=tag).status_code == 412
