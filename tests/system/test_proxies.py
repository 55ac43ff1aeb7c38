"""Behind real proxies: everything works on connections that the proxy keeps and uses again."""

from __future__ import annotations

import json
import random
import socket
import ssl
from collections.abc import Callable, Iterator

import h2.config
import h2.connection
import h2.events
import pytest
from websockets.exceptions import InvalidStatus

from servers.machine import free_port
from servers.nginx import WEBSOCKETS_HTTP, WEBSOCKETS_LOCATION, Nginx
from servers.node import PATIENCE, wait_until
from servers.tokens import PRODUCER, bearer, token
from tests.system.device_kit import Frame
from tests.system.plain_http_kit import poll, stream, titles
from tests.system.producer_kit import expect_json
from tests.system.proxy_kit import (
    Through,
    Traffic,
    node_of,
    shipped,
    shipped_haproxy,
    shipped_nginx,
    unverified,
)
from tests.system.raw_kit import TEXT, frame
from tests.system.server_kit import Server
from tests.system.shared_servers_kit import run_server
from tests.system.test_plain_clients import curl

COMPRESSING = "gzip on; gzip_types application/json; gzip_min_length 1; gzip_proxied any;"
LARGE = "client_max_body_size 16m;"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all here, whatever its store: what is in question is its door."""
    yield from run_server(Server(tmp_path_factory.mktemp("server")))


@pytest.fixture
def nginx(server: Server) -> Iterator[Nginx]:
    """It keeps connections, compresses, and buffers nothing."""
    with Nginx(
        [node_of(server)],
        http=WEBSOCKETS_HTTP,
        upstream="keepalive 8;",
        server=COMPRESSING + LARGE,
        location=WEBSOCKETS_LOCATION + "proxy_buffering off; proxy_request_buffering off;",
    ) as nginx:
        yield nginx


@pytest.fixture
def through() -> Iterator[Callable[..., Through]]:
    """Makes clients of proxies."""
    clients: list[Through] = []

    def through(url: str, **options: bool) -> Through:
        clients.append(Through(url, **options))
        return clients[-1]

    yield through
    for each in clients:
        each.close()


def connections_to(server: Server) -> set[int]:
    """The other ends' ports of all connections that the server has."""
    return {
        each.raddr.port
        for each in server.process.net_connections("tcp")
        if each.laddr.port == server.port and each.status == "ESTABLISHED" and each.raddr
    }


# --- nginx ----------------------------------------------------------------------------------------


def test_everything_goes_over_connections_that_nginx_keeps(server: Server, nginx: Nginx, through):
    traffic = Traffic(through(nginx.url), random.Random(11))
    try:
        traffic.run(200)
        page = traffic.page()
        assert (page.headers["Content-Encoding"], page.headers["ETag"][:2]) == ("gzip", "W/")
    finally:
        traffic.close()
    # Far fewer than the requests: each was used for hundreds.
    assert len(connections_to(server)) <= 20


@pytest.mark.parametrize("before", ["GET /livez", "POST /v1/tickets", "GET /v1/nothing"])
def test_an_upgrade_takes_a_connection_that_was_used_before(
    start_server, ada: str, before: str, through
):
    server = start_server()
    with Nginx(
        [node_of(server)],
        http=WEBSOCKETS_HTTP,
        upstream="keepalive 8;",
        location=WEBSOCKETS_LOCATION,
    ) as nginx:
        proxy = through(nginx.url)
        own = connections_to(server)
        for _ in range(20):
            proxy.http.request(*before.split(), headers=bearer(token(ada)))
        (used,) = connections_to(server) - own
        with proxy.device(ada, "phone") as device:
            device.expect_synced()
            assert connections_to(server) - own == {used}
            server.producer().post(ada, title="Hello")
            device.ack(device.expect_push("Hello"))
        wait_until(lambda: connections_to(server) <= own, what="the node to let go of it")


def test_the_nginx_of_deploy_serves_everything_over_tls(server: Server, tmp_path, through):
    port = free_port()
    with shipped_nginx(tmp_path, port, node_of(server)) as nginx:
        proxy = through(f"https://127.0.0.1:{port}", http2=True)
        wait_until(lambda: proxy.is_reached(), what=f"nginx, see {nginx.log}")
        assert proxy.http.get("/livez").http_version == "HTTP/2"
        traffic = Traffic(proxy, random.Random(12))
        try:
            traffic.run(60)
        finally:
            traffic.close()
    log = (tmp_path / "notify.log").read_text()
    assert "/v1/ws" in log
    assert "ticket=" not in log


def test_the_class_and_the_docs_speak_of_the_same_nginx():
    example = " ".join(shipped("nginx.conf", {}).split())
    for line in (*WEBSOCKETS_HTTP.splitlines(), *WEBSOCKETS_LOCATION.split("\n"), "keepalive 8;"):
        assert line in example, line


@pytest.mark.parametrize("passed", [True, False], ids=["host passed on", "host not passed on"])
def test_a_page_of_the_proxys_own_origin(start_server, ada: str, passed: bool, through):
    """If `Host` is not passed on, the node cannot know by which name it is called: it is told."""
    upgrades = WEBSOCKETS_LOCATION.replace("proxy_set_header Host $http_host;", "")
    location = WEBSOCKETS_LOCATION if passed else upgrades
    server = start_server(origins="https://named.example")
    with Nginx([node_of(server)], http=WEBSOCKETS_HTTP, location=location) as nginx:
        proxy = through(nginx.url)
        with proxy.connect(ada, headers={"Origin": "https://named.example"}) as device:
            device.hello()
            device.expect_welcome()
        if passed:
            with proxy.connect(ada, headers={"Origin": nginx.url}) as device:
                device.hello()
                device.expect_welcome()
        else:
            with pytest.raises(InvalidStatus) as refused:
                proxy.connect(ada, headers={"Origin": nginx.url})
            assert refused.value.response.status_code == 403
            # The connection behind nginx goes on.
            assert proxy.http.get("/livez").status_code == 200


def test_a_large_batch_goes_through_in_chunks(server: Server, nginx: Nginx, ada: str, through):
    """Also where nginx hands it on as it comes, in chunks, before all of it is there."""
    line = json.dumps({"to": {"users": [ada]}, "title": "Hello", "body": "x" * 1000}).encode()
    answer = (
        through(nginx.url)
        .producer()
        .request(
            "POST",
            "/v1/notifications/batch",
            content=(line + b"\n" for _ in range(900)),
            headers={"Content-Type": "application/x-ndjson"},
        )
    )
    results = expect_json(answer)["results"]
    assert [each["status"] for each in results] == [201] * 900
    assert server.is_ready()


REFUSED = [
    ("/v1/notifications", False, 2, 401),
    ("/v1/notifications", True, 2, 413),
    ("/v1/notifications/batch", False, 15, 401),
    ("/v1/notifications/batch", True, 17, 413),
    ("/v1/nothing", True, 15, 404),
]
"""Path, with a credential or without, MiB of body, status."""


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "length"])
@pytest.mark.parametrize("proxied", ["nginx", "haproxy"])
def test_a_request_refused_before_it_was_read_is_answered(
    server: Server, tmp_path, through, proxied: str, chunked: bool
):
    """The node answers while the proxy is still sending: that must not be a 502."""
    streaming = "proxy_request_buffering off; proxy_http_version 1.1; client_max_body_size 32m;"
    with (
        Nginx([node_of(server)], upstream="keepalive 8;", location=streaming)
        if proxied == "nginx"
        else shipped_haproxy(tmp_path, node_of(server))
    ) as proxy:
        wait_until(through(proxy.url).is_reached)
        for path, known, size, status in REFUSED * 3:
            pieces = (b"x" * (1 << 20) for _ in range(size))
            # A connection of its own for each: the proxy may close one on which it refused a body,
            # and a client that sends its next request meanwhile is told nothing.
            answer = through(proxy.url).http.post(
                path,
                content=pieces if chunked else b"".join(pieces),
                headers=bearer(PRODUCER) if known else {},
            )
            assert answer.status_code == status, (path, known, answer.text)
            assert through(proxy.url).http.get("/livez").status_code == 200


def test_the_plainest_nginx_serves_requests(server: Server, through, ada: str):
    """It speaks HTTP/1.0, says `Connection: close` and calls the node by a name of its own."""
    with Nginx([node_of(server)]) as nginx:
        client = through(nginx.url)
        client.producer().post(ada, title="Hello")
        with stream(client, ada, device="tab", cursor="0") as events:
            events.expect("welcome")
            events.expect_push("Hello")
        assert titles(poll(client, ada, device="phone", cursor="0")) == ["Hello"]


# --- HAProxy --------------------------------------------------------------------------------------


@pytest.mark.parametrize("http2", [True, False], ids=["h2", "h1"])
def test_everything_goes_through_the_haproxy_of_deploy(
    server: Server, tmp_path, http2: bool, through
):
    """Requests over h2 or HTTP/1.1, WebSockets over HTTP/1.1, all within TLS."""
    with shipped_haproxy(tmp_path, node_of(server)) as haproxy:
        proxy = through(haproxy.url, http2=http2)
        wait_until(proxy.is_reached)
        version = proxy.http.get("/livez").http_version
        assert version == ("HTTP/2" if http2 else "HTTP/1.1")
        traffic = Traffic(proxy, random.Random(13))
        try:
            traffic.run(100)
        finally:
            traffic.close()
    assert server.is_ready()


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
@pytest.mark.parametrize("proxied", ["nginx", "haproxy"])
def test_curl_through_the_proxies_of_deploy(
    server: Server, tmp_path, through, ada: str, proxied: str, version: str
):
    """Clients that ask before they send, that want the head alone, or that ask what they may do."""
    port = free_port()
    with (
        shipped_nginx(tmp_path, port, node_of(server))
        if proxied == "nginx"
        else shipped_haproxy(tmp_path, node_of(server))
    ) as proxy:
        url = f"https://127.0.0.1:{port}" if proxied == "nginx" else proxy.url
        wait_until(through(url).is_reached)
        # nginx never says it over h2, so that clients go on by themselves after a while.
        patience = "0.2" if (proxied, version) == ("nginx", "--http2") else "600"
        common = ["--insecure", version, "--header", f"Authorization: Bearer {PRODUCER}"]
        body = json.dumps([{"to": {"users": [ada]}, "title": "Hello", "body": "x" * 900}] * 900)
        said, _ = curl(
            *[*common, "--header", "Expect: 100-continue", "--expect100-timeout", patience],
            *["--header", "Content-Type: application/json", "--data-binary", "@-"],
            f"{url}/v1/notifications/batch",
            body=body.encode(),
        )
        assert [each["status"] for each in json.loads(said)["results"]] == [201] * 900
        said, told = curl(*common, "--head", f"{url}/readyz")
        assert " 200" in said.partition("\n")[0], told
        assert "content-length: " in said.lower()
        _, told = curl(*common, "--request", "OPTIONS", f"{url}/v1/inbox")
        assert "< allow: get, head, options" in told.lower(), told


def test_a_websocket_over_h2(server: Server, tmp_path, ada: str, through):
    """RFC 8441, as browsers do where the proxy says that it can."""
    with shipped_haproxy(tmp_path, node_of(server)) as haproxy:
        proxy = through(haproxy.url)
        wait_until(proxy.is_reached)
        with Http2Socket(haproxy.port, token(ada)) as socket:
            socket.send({"type": "hello", "device": "tab"})
            assert [socket.receive()["type"] for _ in range(2)] == ["welcome", "synced"]
            server.producer().post(ada, title="Hello")
            assert socket.receive()["notification"]["title"] == "Hello"
        wait_until(lambda: server.metric("tocsin_devices_present") == 0)


class Http2Socket:
    """A WebSocket as a stream of h2."""

    def __init__(self, port: int, credential: str) -> None:
        context = unverified()
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._socket: ssl.SSLSocket = context.wrap_socket(plain)
        assert self._socket.selected_alpn_protocol() == "h2"
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration())
        self._buffer = b""
        self._h2.initiate_connection()
        self._flush()
        while not self._h2.remote_settings.enable_connect_protocol:
            self._hear()
        self._h2.send_headers(
            1,
            [
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "https"),
                (":path", "/v1/ws"),
                (":authority", f"127.0.0.1:{port}"),
                ("sec-websocket-version", "13"),
                ("authorization", f"Bearer {credential}"),
                ("origin", f"https://127.0.0.1:{port}"),
            ],
        )
        self._flush()
        self._status: bytes | None = None
        while not self._answered():
            self._hear()
        assert self._status == b"200"

    def __enter__(self) -> Http2Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, message: Frame) -> None:
        self._h2.send_data(1, frame(TEXT, json.dumps(message).encode()))
        self._flush()

    def receive(self) -> Frame:
        """The next frame, which must be text and short."""
        head = self._exactly(2)
        assert head[0] == 0x80 | TEXT, head
        size = head[1]
        if size == 126:
            size = int.from_bytes(self._exactly(2), "big")
        read: Frame = json.loads(self._exactly(size))
        return read

    def _answered(self) -> bool:
        return self._status is not None

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._hear()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _hear(self) -> None:
        data = self._socket.recv(65536)
        assert data, "the proxy hung up"
        for event in self._h2.receive_data(data):
            match event:
                case h2.events.ResponseReceived():
                    self._status = dict(event.headers)[b":status"]
                case h2.events.DataReceived():
                    self._buffer += event.data
                    self._h2.acknowledge_received_data(event.flow_controlled_length, 1)
                case h2.events.StreamReset() | h2.events.StreamEnded():
                    raise AssertionError(f"the stream ended: {event}")
                case _:
                    pass
        self._flush()

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())
