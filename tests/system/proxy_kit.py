"""The server as it is met through a proxy, and all that clients do with it, in any order."""

from __future__ import annotations

import json
import random
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import connect

from servers.authority import Certified, certify
from servers.caddy import Caddy
from servers.haproxy import HAProxy
from servers.machine import free_port
from servers.nginx import Nginx
from servers.node import PATIENCE, ROOT
from servers.tokens import bearer, token
from servers.traefik import Traefik
from tests.system.device_kit import Device, Frame
from tests.system.plain_http_kit import poll, stream, titles
from tests.system.producer_kit import expect_json
from tests.system.server_kit import Server, fresh_user

DEPLOY = ROOT / "deploy"


class Through(Server):
    """A server as clients see it through the proxy at *url*; *http2* for their requests."""

    def __init__(self, url: str, *, http2: bool = False) -> None:
        self._url = url
        self._http = httpx.Client(base_url=url, timeout=PATIENCE, verify=False, http2=http2)

    @property
    def url(self) -> str:
        return self._url

    @property
    def websocket_url(self) -> str:
        return self._url.replace("http", "ws", 1) + "/v1/ws"

    def connect(
        self, user: str = "", *, query: str = "", headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Device:  # fmt: skip
        credential = bearer(token(user)) if user else {}
        if self._url.startswith("https:"):
            options["ssl"] = context = unverified()
            # This client reads in a thread of its own while it writes, which OpenSSL does not
            # allow. With TLS 1.3, whose session tickets come just then, handshakes were seen to
            # hang, with the request never sent, as far as the proxy could tell.
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        socket = connect(
            self.websocket_url + query,
            additional_headers={**credential, **(headers or {})},
            open_timeout=PATIENCE,
            ping_interval=None,
            proxy=None,
            legacy=True,
            **options,
        )
        return Device(socket)

    def is_reached(self) -> bool:
        """Whether the proxy hands on to a node that is ready."""
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def close(self) -> None:
        self.http.close()


def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def node_of(server: Server) -> str:
    """Where a proxy finds it."""
    return f"127.0.0.1:{server.port}"


# --- The proxies of deploy/ -----------------------------------------------------------------------


def shipped(name: str, replacements: Mapping[str, str]) -> str:
    """The file *name* of deploy/, with what differs from machine to machine replaced, each once."""
    text = (DEPLOY / name).read_text()
    for old, new in replacements.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def shipped_nginx(directory: Path, port: int, node: str, *, more: str = "") -> Nginx:
    """nginx as shipped, with TLS on *port*; what else it listens on is the class's own.

    *more* is added to its server.
    """
    files = certify(directory / "certified")
    sites = shipped(
        "nginx.conf",
        {
            "127.0.0.1:8080": node,
            "listen 443 ": f"listen 127.0.0.1:{port} ",
            "/etc/nginx/notify.pem": str(files.certificate),
            "/etc/nginx/notify.key": str(files.key),
            "/var/log/nginx/notify.log": str(directory / "notify.log"),
            "    location / {\n": f"{more}    location / {{\n",
        },
    )
    return Nginx([node], http=sites)


def shipped_haproxy(directory: Path, node: str, *, more: str = "") -> HAProxy:
    """HAProxy as shipped, with TLS; *more* is added to its frontend."""
    files = certify(directory / "certified")
    port = free_port()
    path = directory / "haproxy.cfg"
    path.write_text(
        shipped(
            "haproxy.cfg",
            {
                "127.0.0.1:8080": node,
                "bind :443 ": f"bind 127.0.0.1:{port} ",
                "/etc/haproxy/notify.pem": str(in_one_file(files)),
                "    default_backend tocsin\n": f"    default_backend tocsin\n{more}",
            },
        )
    )
    return HAProxy([], port, configuration=path, scheme="https")


def shipped_caddy(directory: Path, node: str) -> Caddy:
    """Caddy as shipped, but with a certificate that it is given."""
    files = certify(directory / "certified")
    port = free_port()
    site = f"https://127.0.0.1:{port} {{\n\ttls {files.certificate} {files.key}\n"
    return Caddy(
        shipped("Caddyfile", {"notify.example.com {\n": site, "127.0.0.1:8080": node}), port
    )


def shipped_traefik(directory: Path, node: str) -> Traefik:
    """Traefik as shipped; clients that name an address find it as well."""
    files = certify(directory / "certified")
    return Traefik(
        shipped(
            "traefik.yml",
            {
                "Host(`notify.example.com`)": "PathPrefix(`/`)",
                "127.0.0.1:8080": node,
                "/etc/traefik/notify.pem": str(files.certificate),
                "/etc/traefik/notify.key": str(files.key),
            },
        ),
        free_port(),
    )


def in_one_file(files: Certified) -> Path:
    """Certificate and key, as HAProxy wants them."""
    both = files.key.with_name("both.pem")
    both.write_bytes(files.certificate.read_bytes() + files.key.read_bytes())
    return both


# --- Acts of clients ------------------------------------------------------------------------------


class Traffic:
    """Everything that may go through a proxy, in an order of *chance*'s, for one user."""

    def __init__(self, proxy: Server, chance: random.Random) -> None:
        self.proxy = proxy
        self.chance = chance
        self.user = fresh_user("ada")
        self.producer = proxy.producer()
        self.as_user = bearer(token(self.user))
        self.posted = 0
        self.tag: str | None = None
        self.pool = ThreadPoolExecutor(2)

    def close(self) -> None:
        self.pool.shutdown()

    def run(self, rounds: int) -> dict[str, int]:
        """How often each was done; every one of them at least once."""
        kinds: list[Callable[[], object]] = [
            self.live, self.post, self.ticket, self.page, self.page_again, self.batch,
            self.wrong, self.events, self.long_poll, self.websocket, self.websocket_by_ticket,
        ]  # fmt: skip
        order = [*kinds, *self.chance.choices(kinds, k=rounds - len(kinds))]
        self.chance.shuffle(order)
        counts: dict[str, int] = {}
        self.post()
        for each in order:
            each()
            counts[each.__name__] = counts.get(each.__name__, 0) + 1
        return counts

    def post(self) -> str:
        self.posted += 1
        title = f"{self.posted} {'long ' * 20}"
        self.producer.post(self.user, title=title)
        return title

    def live(self) -> None:
        method = self.chance.choice(["GET", "HEAD"])
        answer = self.proxy.http.request(method, "/livez")
        assert (answer.status_code, bool(answer.content)) == (200, method == "GET")

    def ticket(self) -> str:
        answer = self.proxy.http.post("/v1/tickets", headers=self.as_user)
        ticket: str = expect_json(answer, 201)["ticket"]
        return ticket

    def page(self) -> httpx.Response:
        query = {"limit": "20"}
        answer = self.proxy.http.get("/v1/inbox", params=query, headers=self.as_user)
        assert len(expect_json(answer)["notifications"]) == min(20, self.posted)
        return answer

    def page_again(self) -> None:
        """With the tag as the proxy has handed it on, a weak one if it has compressed."""
        tag = self.page().headers["ETag"]
        headers = {**self.as_user, "If-None-Match": tag}
        answer = self.proxy.http.get("/v1/inbox", params={"limit": "20"}, headers=headers)
        assert (answer.status_code, answer.content) == (304, b"")

    def batch(self) -> None:
        drafts = [{"to": {"users": [self.user]}, "title": "of many"} for _ in range(3)]
        body = json.dumps(drafts).encode()
        # A generator has no length: it is sent in chunks.
        content = self.chance.choice([body, (body[at : at + 50] for at in range(0, len(body), 50))])
        answer = self.producer.request(
            "POST",
            "/v1/notifications/batch",
            content=content,
            headers={"Content-Type": "application/json"},
        )
        assert len(expect_json(answer)["results"]) == 3
        self.posted += 3

    def wrong(self) -> None:
        """A refused request leaves the connection as good as any other."""
        status, method, path, body = self.chance.choice([
            (404, "GET", "/v1/nothing", None),
            (401, "GET", "/v1/inbox", None),
            (401, "POST", "/v1/notifications", b'{"title":"x"}'),
            (405, "DELETE", "/livez", None),
        ])  # fmt: skip
        assert self.proxy.http.request(method, path, content=body).status_code == status

    def events(self) -> None:
        with stream(self.proxy, self.user, device="tab", cursor=self.now()) as events:
            events.expect_live()
            events.expect_push(self.post())

    def long_poll(self) -> None:
        cursor = self.now()
        waiting = self.pool.submit(
            poll, self.proxy, self.user, device="phone", cursor=cursor, wait=10
        )
        title = self.post()
        assert titles(waiting.result()) == [title]

    def websocket(self) -> None:
        with self.proxy.device(self.user, "desktop", cursor=self.now()) as device:
            device.expect_synced()
            title = self.post()
            device.ack(device.expect_push(title))

    def websocket_by_ticket(self) -> None:
        with self.proxy.connect(query=f"?ticket={self.ticket()}") as device:
            device.hello("desktop", cursor=self.now())
            device.expect_welcome()
            device.expect_synced()
            device.expect_nothing_before_pong()

    def now(self) -> str:
        """The cursor of all that has been posted."""
        seen: Frame = poll(self.proxy, self.user, device="anew", limit=1)
        while seen["more"]:
            seen = poll(self.proxy, self.user, device="anew", cursor=seen["cursor"], limit=500)
        cursor: str = seen["cursor"]
        return cursor
