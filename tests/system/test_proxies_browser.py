"""A real browser behind real proxies: one page that asks, follows and talks, all on one host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from servers.machine import free_port
from servers.nginx import WEBSOCKETS_HTTP, WEBSOCKETS_LOCATION, Nginx
from servers.node import wait_until
from servers.tokens import token
from tests.system.proxy_kit import Through, node_of, shipped_haproxy, shipped_nginx
from tests.system.test_browser import Site, browser, site, visit

__all__ = ["browser", "site", "visit"]

pytestmark = pytest.mark.faults

ROUNDS = 10
PAGE = """<!doctype html>
<script>
const credential = decodeURIComponent(location.hash.slice(1));
const ask = (method, path, body) => fetch(path, {
  method,
  headers: {Authorization: `Bearer ${credential}`, "Content-Type": "application/json"},
  body: body && JSON.stringify(body),
});
const ticket = async () => (await (await ask("POST", "/v1/tickets")).json()).ticket;
const user = JSON.parse(atob(credential.split(".")[1])).sub;

const opened = (target, hear) => new Promise((live, failed) => {
  target.onerror = () => failed(`${target.url} failed`);
  hear(frame => { if (frame.type === "synced") live(); });
});
const round = async number => {
  const asked = await Promise.all(
    ["/livez", "/v1/inbox", "/v1/me/devices"].map(path => ask("GET", path)));
  const pushed = [];
  let twice;
  const both = new Promise(done => { twice = done; });
  const heard = (by, frame) => {
    if (frame.type !== "push" || frame.notification.title !== `number ${number}`) return;
    pushed.push(by);
    if (pushed.length === 2) twice();
  };
  const server = location.origin.replace("http", "ws");
  const [first, second] = [await ticket(), await ticket()];
  // Nothing is waited for from here until both are listened to.
  const socket = new WebSocket(`${server}/v1/ws?ticket=${first}`);
  socket.onopen = () => socket.send(JSON.stringify({type: "hello", device: "desk"}));
  const source = new EventSource(`/v1/inbox/stream?device=tab&ticket=${second}`);
  await Promise.all([
    opened(socket, live => socket.onmessage = message => {
      const frame = JSON.parse(message.data);
      live(frame); heard("socket", frame);
    }),
    opened(source, live => ["push", "synced"].forEach(name =>
      source.addEventListener(name, event => {
        const frame = JSON.parse(event.data);
        live(frame); heard("stream", frame);
      }))),
  ]);
  const post = {to: {users: [user]}, title: `number ${number}`};
  asked.push(await ask("POST", "/v1/notifications", post));
  await both;
  socket.onerror = source.onerror = null;
  socket.close(); source.close();
  return {statuses: asked.map(answer => answer.status), pushed: pushed.sort()};
};
const run = async () => {
  const rounds = [];
  for (let number = 0; number < ROUNDS; number++) rounds.push(await round(number));
  const hops = performance.getEntriesByType("resource").map(entry => entry.nextHopProtocol);
  return {rounds, hops: [...new Set(hops)].filter(Boolean)};
};
run().catch(error => ({error: String(error)})).then(told =>
  fetch("/told", {method: "POST", body: JSON.stringify(told)}));
</script>
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    path.write_text(PAGE.replace("ROUNDS", str(ROUNDS)))
    return path


def nginx_locations(page: Path, site: Site) -> str:
    return (
        f"    location = /page {{ default_type text/html; alias {page}; }}\n"
        f"    location = /told {{ proxy_pass {site.origin}; }}\n"
    )


@contextmanager
def plain_nginx(node: str, page: Path, site: Site, _: Path) -> Iterator[str]:
    with Nginx(
        [node],
        http=WEBSOCKETS_HTTP,
        upstream="keepalive 8;",
        server=nginx_locations(page, site),
        location=WEBSOCKETS_LOCATION,
    ) as nginx:
        yield nginx.url


@contextmanager
def nginx_of_deploy(node: str, page: Path, site: Site, directory: Path) -> Iterator[str]:
    port = free_port()
    with shipped_nginx(directory, port, node, more=nginx_locations(page, site)):
        yield f"https://127.0.0.1:{port}"


@contextmanager
def haproxy_of_deploy(node: str, page: Path, site: Site, directory: Path) -> Iterator[str]:
    more = f"""
    log stdout format raw local0
    log-format "%HV %HP"
    http-request return status 200 content-type text/html file {page} if {{ path /page }}
    use_backend site if {{ path /told }}

backend site
    server site {urlsplit(site.origin).netloc}
"""
    with shipped_haproxy(directory, node, more=more) as haproxy:
        yield haproxy.url
        # Chromium does so where it has a connection of h2 that takes WebSockets.
        lines = haproxy.log.read_text().splitlines()
        assert {line.split()[0] for line in lines if "/v1/ws" in line} == {"HTTP/2.0"}


@pytest.mark.parametrize(
    ("proxied", "hop"),
    [(plain_nginx, "http/1.1"), (nginx_of_deploy, "h2"), (haproxy_of_deploy, "h2")],
)
def test_a_page_of_the_nodes_own_host_asks_follows_and_talks(
    start_server, site: Site, visit, page: Path, tmp_path: Path, ada: str, proxied: Any, hop: str
):
    """Again and again, so that everything comes over connections that were used for another."""
    server = start_server(forwarded_from="127.0.0.1")
    with proxied(node_of(server), page, site, tmp_path) as url:
        reached = Through(url)
        wait_until(reached.is_reached, what="the proxy")
        reached.close()

        visit(f"{url}/page#{quote(token(ada, 'notify'))}")

        told = site.told.get(timeout=60)
        assert "error" not in told, told
        for each in told["rounds"]:
            assert each == {"statuses": [200, 200, 200, 201], "pushed": ["socket", "stream"]}
        assert len(told["rounds"]) == ROUNDS
        assert told["hops"] == [hop]
