"""HTTP from clients with bugs, and from those who look for ours: a clear answer, and on it goes."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from tests.system.kit import (
    PRODUCER,
    Producer,
    Server,
    expect_json,
    expect_problem,
    fresh_user,
)
from tests.system.raw import Wire

MIB = 1 << 20


def post(producer: Producer, content: bytes, **headers: str) -> httpx.Response:
    return producer.request("POST", "/v1/notifications", content=content, headers=headers)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"nonsense", b'{"to":', b"\x00", b"\xff\xfe", b'{"title":"\xff"}', b"NaN",
     b'{"to":{"users":["a"]},"title":"x"}}', b'{"to":{"users":["a"]},"title":"x"} x',
     b'{"title":"\xed\xa0\x80"}', b'{"title":"\\ud800"}', b'{"title":"a\nb"}',
     b"\xef\xbb\xbf{}", b'{"data":' * 100_000, b'{"title":"' + b"\\" * 99_999,
     b'{"data":' + b"9" * 10_000 + b"}", b'{"data":1e99999}', b'{"data":-Infinity}'],
)  # fmt: skip
def test_what_is_no_json_is_malformed(producer: Producer, content):
    problem = expect_problem(post(producer, content), 400, "malformed")
    assert len(json.dumps(problem)) < 1000


GOOD = {"to": {"users": ["ada"]}, "title": "Hello"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        "text",
        7,
        [GOOD],
        {**GOOD, "title": None},
        {**GOOD, "title": 7},
        {**GOOD, "title": ""},
        {**GOOD, "title": "x" * 257},
        {**GOOD, "body": "x" * 4097},
        {**GOOD, "body": ["x"]},
        {**GOOD, "url": ""},
        {**GOOD, "url": "x" * 3000},
        {**GOOD, "titel": "typing error"},
        {**GOOD, "to": {"users": ["ada"], "user": "x"}},
        {**GOOD, "to": {"users": "ada"}},
        {**GOOD, "to": {"users": []}},
        {**GOOD, "to": {"users": [""]}},
        {**GOOD, "to": {"users": [None]}},
        {**GOOD, "to": {"users": [{}]}},
        {**GOOD, "to": {"users": ["a b"]}},
        {**GOOD, "to": {"users": ["ada\n"]}},
        {**GOOD, "to": {"users": ["a\u0000"]}},
        {**GOOD, "to": {"users": ["\u00e4da"]}},
        {**GOOD, "to": {"users": ["x" * 129]}},
        {**GOOD, "to": {"users": [f"user-{number}" for number in range(1001)]}},
        {**GOOD, "to": {"users": {"0": "ada"}}},
        {**GOOD, "to": []},
        {**GOOD, "to": None},
        {**GOOD, "category": "News"},
        {**GOOD, "category": "a\n"},
        {**GOOD, "category": ""},
        {**GOOD, "category": "x" * 65},
        {**GOOD, "priority": "urgent"},
        {**GOOD, "data": "x" * 32 * 1024},
        {**GOOD, "ttl": 0},
        {**GOOD, "ttl": -1},
        {**GOOD, "ttl": 1e300},
        {**GOOD, "ttl": "60"},
        {**GOOD, "expires_at": "2001-01-01T00:00:00Z"},
        {**GOOD, "expires_at": "2999-01-01T00:00:00"},
        {**GOOD, "expires_at": "tomorrow"},
        {**GOOD, "expires_at": 4_000_000_000},
        {**GOOD, "expires_at": "2999-13-41T00:00:00Z"},
        {**GOOD, "expires_at": "9999-12-31T23:59:59-23:59"},
        {**GOOD, "ttl": 5, "expires_at": "2999-01-01T00:00:00Z"},
        {**GOOD, "id": "0197f0a8-0000-7000-8000-000000000000"},
        {**GOOD, "__proto__": {}},
    ],
)
def test_what_says_something_wrong_is_told_what_and_where(producer: Producer, body):
    answer = post(producer, json.dumps(body).encode())
    problem = expect_problem(answer, 422, "invalid")
    assert problem["errors"][0]["path"].startswith("$")
    assert len(answer.content) < 2000


@pytest.mark.parametrize("path", ["$.to.users[3]", "$.title"])
def test_an_error_names_the_place(producer: Producer, path):
    body = {"to": {"users": ["a", "b", "c", "d d" if "users" in path else "d"]}, "title": ""}
    if "users" in path:
        body["title"] = "x"
    problem = expect_problem(producer.request("POST", "/v1/notifications", json=body), 422)
    assert problem["errors"][0]["path"] == path


@pytest.mark.parametrize(
    "title",
    ["\u0000", "a\u0000b", "\u0001\u001f\u007f\u009f", "\r\n\t", "\u202e\u2066evil", "\ufeff",
     "\uffff\ufffe", "\U0001f4a3" * 256, "\U0010ffff", '"\\/', "</script>", "' OR 1=1; --", "%s{}",
     "$1 ?1 :a @b", "\u0301" * 256],
)  # fmt: skip
def test_any_text_is_kept_as_it_is(server: Server, producer: Producer, ada, title):
    notification = producer.post(ada, title=title, body=title, data={title: [title]}, url=title)

    assert producer.view(notification)["title"] == title
    with server.device(ada, "phone", cursor="0") as phone:
        push = phone.expect_push(title)["notification"]
        assert (push["body"], push["data"], push["url"]) == (title, {title: [title]}, title)
    changed = producer.update(notification, title=title[::-1])
    assert changed["title"] == title[::-1]


@pytest.mark.parametrize(
    "data",
    [0, -1, 1.5, 2**53, 2**63, 2**64, -(2**63), 10**30, 10**4000, 1e-320, 1e308, True, None, "",
     [], {}, {"": ""}, [[[[]]]], {"a": {"a": {}}}],
)  # fmt: skip
def test_any_data_either_comes_back_or_is_refused(server: Server, producer, ada, data):
    answer = producer.try_post(ada, data=data)
    if answer.status_code != 201:
        expect_problem(answer, 422, "invalid") if answer.status_code == 422 else expect_problem(
            answer, 400, "malformed"
        )
        return
    notification = answer.json()["id"]
    assert producer.view(notification)["data"] == data
    assert producer.update(notification, title="changed")["data"] == data
    with server.device(ada, "phone", cursor="0") as phone:
        assert phone.expect_push("changed")["notification"]["data"] == data


@pytest.mark.parametrize("depth", [10, 100, 400, 500, 600, 700, 800, 900, 950, 980, 1000, 2000])
def test_nesting_is_either_carried_or_refused(server: Server, producer: Producer, ada, depth):
    """Whatever one part of the server can read, all of it can."""
    content = b'{"to":{"users":["%s"]},"title":"deep","data":%s%s}' % (
        ada.encode(),
        b"[" * depth,
        b"]" * depth,
    )
    answer = post(producer, content)
    if answer.status_code != 201:
        assert answer.status_code in {400, 422}, answer.text
        expect_problem(answer, answer.status_code)
        return
    notification = answer.json()["id"]
    path = f"/v1/notifications/{notification}"
    assert producer.request("GET", path).status_code == 200
    assert producer.request("PATCH", path, json={"title": "still deep"}).status_code == 200
    assert server.producer().request("GET", f"{path}/deliveries").status_code == 200
    with server.device(ada, "phone", cursor="0") as phone:
        phone.expect_push("still deep")


def test_duplicate_recipients_count_once(server: Server, producer: Producer, ada):
    answer = producer.try_post(ada, ada, ada, title="once")
    assert expect_json(answer, 201)["recipients"] == 1
    with server.device(ada, "phone", cursor="0") as phone:
        phone.expect_push("once")
        phone.expect_synced()
        phone.expect_nothing_before_pong()


def test_a_thousand_recipients_are_the_most(producer: Producer):
    users = [fresh_user() for _ in range(1000)]
    assert expect_json(producer.try_post(*users), 201)["recipients"] == 1000
    expect_problem(producer.try_post(*users, "one-more"), 422, "invalid")


@pytest.mark.parametrize(
    "patch",
    [{}, {"to": {"users": ["eve"]}}, {"title": None}, {"title": ""}, {"revision": 9}, {"id": "x"},
     {"state": "read"}, {"expires_at": "2001-01-01T00:00:00Z"}, {"data": "x" * 40_000}, [], None,
     {"ttl": 5}, {"category": None}],
)  # fmt: skip
def test_a_change_that_cannot_be_made_is_refused(producer: Producer, ada, patch):
    notification = producer.post(ada)
    path = f"/v1/notifications/{notification}"
    answer = producer.request("PATCH", path, content=json.dumps(patch).encode())
    expect_problem(answer, 422, "invalid")
    assert producer.view(notification)["revision"] == 1


@pytest.mark.parametrize("value", ["1", 'W/"1"', '""', '"x"', '"1", "2"', '"-1"', "x" * 4000])
def test_an_if_match_that_cannot_be_read_is_refused(producer: Producer, ada, value):
    path = f"/v1/notifications/{producer.post(ada)}"
    answer = producer.request("PATCH", path, json={"title": "x"}, headers={"If-Match": value})
    assert answer.status_code in {412, 422}
    expect_problem(answer, answer.status_code)


def test_a_body_that_is_too_large_is_refused(producer: Producer):
    content = b'{"title":"' + b"x" * (MIB + 1) + b'"}'
    expect_problem(post(producer, content), 413, "too_large")


def test_a_body_that_claims_to_be_too_large_is_refused_before_it_comes(server: Server):
    with Wire(server) as wire:
        status, headers, _ = wire.ask(head("POST", "/v1/notifications", "Content-Length: 99999999"))
        assert status == 413
        assert headers["connection"] == "close"
        assert wire.read_to_end() == b""


def test_a_chunked_body_is_counted_as_it_comes(server: Server):
    with Wire(server) as wire:
        wire.send(head("POST", "/v1/notifications", "Transfer-Encoding: chunked"))
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        for _ in range(20):
            wire.send(chunk)
        assert wire.read_answer()[0] == 413


def head(method: str, target: str, *headers: str, host: str = "Host: localhost") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", host, f"Authorization: Bearer {PRODUCER}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (head("GET", "/livez", host="Host: ex\u00e4mple"), 400),
        (head("GET", "/livez", host="Host: a\r\nHost: b"), 400),
        (head("GET", "/livez", host="X: no host"), 400),
        (head("GET", "/livez", host="Host: a b"), 400),
        (head("GET", "/livez", "X: a\r\n folded"), 400),
        (head("GET", "/livez", "Content-Length: x"), 400),
        (head("GET", "/livez", "Content-Length: 1", "Content-Length: 2"), 400),
        (head("POST", "/livez", "Content-Length: 4", "Transfer-Encoding: chunked"), 400),
        (head("GET", "/livez", "Content-Length: -1"), 400),
        (head("POST", "/v1/notifications", "Transfer-Encoding: gzip"), 501),
        (head("GET", "/livez", "X" * 20_000), 431),
        (head("GET", "/livez", *(f"X-{number}: x" for number in range(200))), 431),
        (head("GET", "/" + "x" * 20_000), 431),
        (head("CONNECT", "example.org:443"), 405),
        (head("GET", "nonsense"), 400),
        (b"GET /livez HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /livez\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32, 400),
        (b"GET /livez HTTP/1.1\nHost: a\n\n", 400),
        (b"\r\n\r\n", 400),
        (b"\x00" * 5000 + b"\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /li\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", 400),
    ],
)
def test_a_request_that_is_not_http_is_told_so(server: Server, request_, status):
    with Wire(server) as wire:
        answered, headers, body = wire.ask(request_)
        assert answered == status or (status, answered) == (501, 400)
        assert headers["content-type"] == "application/problem+json"
        assert headers["x-request-id"]
        assert json.loads(body)["status"] == answered


def test_requests_on_one_connection_do_not_bleed_into_each_other(server: Server, producer, ada):
    """Request smuggling: what is behind a body is a request of its own, with its own credential."""
    body = json.dumps({"to": {"users": [ada]}, "title": "one"}).encode()
    first = head("POST", "/v1/notifications", f"Content-Length: {len(body)}") + body
    second = b"GET /v1/inbox HTTP/1.1\r\nHost: a\r\n\r\n"
    with Wire(server) as wire:
        wire.send(first + second + head("GET", "/livez"))
        assert wire.read_answer()[0] == 201
        assert wire.read_answer()[0] == 401
        assert wire.read_answer()[0] == 200


@pytest.mark.parametrize("with_body_behind", [False, True])
def test_an_upgrade_on_a_used_connection_is_a_plain_request(server: Server, with_body_behind):
    upgrade = head(
        "GET", "/v1/ws", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    with Wire(server) as wire:
        assert wire.ask(head("GET", "/livez"))[0] == 200
        wire.send(upgrade + (b"\x81\x00" * 10 if with_body_behind else b""))
        assert wire.read_answer()[0] in {404, 400, 426}


@pytest.mark.parametrize("protocol", ["h2c", "TLS/1.0", "websocket2", "x" * 1000])
def test_other_upgrades_are_ignored(server: Server, protocol):
    with Wire(server) as wire:
        status, _, _ = wire.ask(
            head(
                "GET",
                "/livez",
                f"Upgrade: {protocol}",
                "Connection: Upgrade, HTTP2-Settings",
                "HTTP2-Settings: AAMAAABkAAQAAP__",
            )
        )
        assert status == 200


def test_a_head_request_gets_no_body(server: Server):
    with Wire(server) as wire:
        wire.send(head("HEAD", "/livez") + head("GET", "/livez"))
        everything = b""
        while everything.count(b"HTTP/1.1 200") < 2 or b"ok" not in everything:
            everything += wire.read()
        assert everything.index(b"ok") > everything.rindex(b"HTTP/1.1 200")


def test_an_expectation_is_answered(server: Server, ada):
    body = json.dumps({"to": {"users": [ada]}, "title": "x"}).encode()
    with Wire(server) as wire:
        wire.send(
            head(
                "POST", "/v1/notifications", f"Content-Length: {len(body)}", "Expect: 100-continue"
            )
        )
        assert wire.read_answer()[0] == 100
        wire.send(body)
        assert wire.read_answer()[0] == 201


def test_half_a_request_and_no_more_is_nothing(server: Server, producer: Producer, ada):
    body = json.dumps({"to": {"users": [ada]}, "title": "half"}).encode()
    for cut in (1, len(body) // 2, len(body) - 1):
        with Wire(server) as wire:
            wire.send(
                head("POST", "/v1/notifications", f"Content-Length: {len(body)}") + body[:cut]
            )
    producer.post(ada, title="whole")
    with server.device(ada, "phone", cursor="0") as phone:
        phone.expect_push("whole")
        phone.expect_synced()


def test_a_head_that_dribbles_in_is_cut_off(server: Server):
    """Slow loris: the head as a whole has ten seconds, and meanwhile others are served."""
    started = time.monotonic()
    with Wire(server) as slow:
        slow.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n")
        slow.socket.settimeout(0.5)
        answer = b""
        while time.monotonic() < started + 14 and not answer:
            slow.send(b"X: x\r\n")
            assert server.http.get("/livez").status_code == 200
            try:
                answer = slow.read()
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408")
        assert time.monotonic() - started < 13


def test_many_slow_heads_keep_nobody_out(server: Server):
    wires = [Wire(server) for _ in range(300)]
    try:
        for wire in wires:
            wire.send(b"GET /livez HTTP/1.1\r\nHo")
        started = time.monotonic()
        assert httpx.get(f"{server.url}/livez").status_code == 200
        assert time.monotonic() - started < 5
    finally:
        for wire in wires:
            wire.socket.close()


def test_a_body_that_dribbles_in_is_cut_off(start_server):
    server = start_server(request_timeout=1, store_timeout=1)
    with Wire(server) as slow:
        slow.send(head("POST", "/v1/notifications", "Content-Length: 1000"))
        slow.socket.settimeout(0.2)
        deadline = time.monotonic() + 10
        answer = b""
        while time.monotonic() < deadline and not answer:
            slow.send(b" ")
            try:
                answer = slow.read()
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408")


def test_an_answer_that_nobody_reads_holds_nobody_up(server: Server, producer: Producer, ada):
    for _ in range(30):
        producer.post(ada, body="x" * 4000, data="x" * 30_000)
    from tests.system.kit import token

    request = f"GET /v1/inbox HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token(ada)}\r\n\r\n"
    with Wire(server, receive_buffer=4096) as deaf:
        deaf.send(request.encode() * 50)
        started = time.monotonic()
        producer.post(ada)
        assert time.monotonic() - started < 5
