"""The inbox as a stream of events: what a page with an EventSource meets."""

from __future__ import annotations

import subprocess
import threading
import time
from typing import Any

import httpx
import pytest

from servers.node import wait_until
from servers.tokens import bearer, token
from tests.system.plain_http_kit import stream
from tests.system.producer_kit import Producer, expect_json, expect_problem
from tests.system.raw_kit import Wire
from tests.system.server_kit import Server

PATH = "/v1/inbox/stream"


def get(server: Server, path: str = PATH, **headers: str) -> httpx.Response:
    return server.http.get(path, headers=headers)


def sessions(server: Server) -> int:
    return int(server.metric("tocsin_sessions"))


# --- A session ----------------------------------------------------------------------------------


def test_a_new_device_is_welcomed_and_live_at_once(server, producer, ada):
    with stream(server, ada) as events:
        welcome = events.expect("welcome", user=ada, resumed=False)
        assert welcome.data["device"].startswith("device-")
        assert 1000 <= (welcome.retry or 0) <= 2000
        events.expect("synced")
        producer.post(ada, title="Hello")
        events.expect_push("Hello", change="created", attempt=1, replay=False, unread=1, unseen=1)


def test_nothing_on_the_way_may_keep_or_gather_it(server, ada):
    with stream(server, ada) as events:
        headers = events.response.headers
        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Accel-Buffering"] == "no"
        assert headers["X-Request-Id"]


def test_a_silent_stream_says_something_now_and_then(hasty, ada):
    with stream(hasty, ada) as events:
        events.expect_live()
        producer = hasty.producer()
        started = time.monotonic()
        threading.Timer(1.3, producer.post, [ada]).start()
        events.expect_push("Hello")
        assert time.monotonic() - started > 1
        assert events.comments >= 2


def test_a_ticket_will_do_for_a_credential_once(server, ada):
    answer = server.http.post("/v1/tickets", headers=bearer(token(ada)))
    ticket = expect_json(answer, 201)["ticket"]
    with stream(server, ticket=ticket, device="web") as events:
        events.expect("welcome", user=ada, device="web")
    expect_problem(get(server, f"{PATH}?ticket={ticket}"), 401)


def test_several_that_wait_come_in_order(server, producer, ada):
    with stream(server, ada) as events:
        events.expect_live()
        for number in range(100):
            producer.post(ada, title=str(number))
        for number in range(100):
            events.expect_push(str(number))


def test_the_same_device_again_replaces_the_first(server, ada):
    with stream(server, ada, device="web") as first:
        first.expect_live()
        with stream(server, ada, device="web") as second:
            second.expect_live()
            goodbye = first.expect_goodbye(4409)
            assert goodbye.retry == 3_600_000


def test_an_operator_ends_a_stream(server, ada):
    with stream(server, ada) as events:
        events.expect_live()
        path = f"/v1/admin/users/{ada}/disconnect"
        answer = server.http.post(path, headers=bearer(token("root", "admin")))
        assert answer.status_code == 204
        events.expect_goodbye(4410)


def test_a_token_that_runs_out_ends_the_stream(server, ada):
    with stream(server, headers=bearer(token(ada, lifetime=2))) as events:
        events.expect_live()
        events.expect_goodbye(4401)


# --- Resuming -----------------------------------------------------------------------------------


def test_a_stream_that_resumes_with_the_last_id_has_acknowledged_everything_up_to_it(
    server, producer, ada
):
    with stream(server, ada, device="web") as events:
        events.expect_live()
        first, second = producer.post(ada, title="1"), producer.post(ada, title="2")
        events.expect_push("1")
        last_id = str(events.last_id)
        events.expect_push("2")
    assert producer.ledger(first)["web"]["outcome"] == "pending"

    with stream(server, ada, device="web", headers={"Last-Event-ID": last_id}) as events:
        events.expect("welcome", cursor=last_id, resumed=True)
        events.expect_push("2", attempt=2, replay=True)
        events.expect("synced")

    assert producer.ledger(first)["web"]["outcome"] == "acknowledged"
    assert producer.ledger(second)["web"]["outcome"] == "pending"


def test_a_stream_that_comes_back_without_an_id_gets_the_push_again(server, producer, ada):
    with stream(server, ada, device="web") as events:
        events.expect_live()
        producer.post(ada, title="1")
        events.expect_push("1", attempt=1)
    with stream(server, ada, device="web") as events:
        events.expect("welcome", resumed=True)
        events.expect_push("1", attempt=2)


def test_the_last_id_goes_before_the_cursor(server, producer, ada):
    producer.post(ada, title="1")
    producer.post(ada, title="2")
    with stream(server, ada, cursor=0) as events:
        events.expect("welcome")
        events.expect_push("1")
        first_id = str(events.last_id)
    with stream(server, ada, cursor=0, headers={"Last-Event-ID": first_id}) as events:
        events.expect("welcome", cursor=first_id)
        events.expect_push("2")


@pytest.mark.parametrize("name", ["lastEventId", "last_event_id"])
def test_a_polyfill_says_the_last_id_in_the_query(server, producer, ada, name):
    producer.post(ada, title="1")
    producer.post(ada, title="2")

    def said(text: str) -> dict[str, Any]:
        return {"device": "web", name: text}

    with stream(server, ada, cursor=0, **said("")) as events:
        events.expect("welcome")
        events.expect_push("1")
        first_id = str(events.last_id)
        events.expect_push("2")
        last_id = str(events.last_id)
    with stream(server, ada, cursor=0, **said(first_id)) as events:
        events.expect("welcome", cursor=first_id)
        events.expect_push("2")
    # The header goes before it, as a real EventSource sends both.
    header = {"Last-Event-ID": last_id}
    with stream(server, ada, headers=header, **said(first_id)) as events:
        events.expect("welcome", cursor=last_id)
        events.expect("synced")
    answer = get(server, f"{PATH}?{name}=what", **bearer(token(ada)))
    assert expect_problem(answer, 422, "invalid")["errors"][0]["path"] == f"?{name}"


def test_an_id_of_another_log_is_answered_by_a_reset(server, producer, ada):
    producer.post(ada, title="1")
    with stream(server, ada, headers={"Last-Event-ID": "other.7"}) as events:
        events.expect("welcome", resumed=False)
        events.expect("reset", reason="epoch")
        events.expect_push("1", replay=True)
        events.expect("synced")


def test_more_than_a_window_passes_without_any_acknowledgment(start_server, ada):
    server = start_server(window=4, resend_delay=0.1, resend_limit=1)
    producer = server.producer()
    with stream(server, ada) as events:
        events.expect_live()
        for number in range(20):
            producer.post(ada, title=str(number))
        for number in range(20):
            events.expect_push(str(number), attempt=1)


# --- Refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query", ["cursor=what", "cursor=", "ack=maybe", "device=no%20device", "devise=x"]
)
def test_a_stream_that_cannot_be_is_a_problem(server, ada, query):
    answer = get(server, f"{PATH}?{query}", **bearer(token(ada)))
    expect_problem(answer, 422, "invalid")


def test_an_id_that_is_no_cursor_is_a_problem(server, ada):
    answer = get(server, **bearer(token(ada)), **{"Last-Event-ID": "what"})
    expect_problem(answer, 422, "invalid")


def test_a_stream_needs_a_user(server):
    expect_problem(get(server), 401)
    expect_problem(get(server, **bearer("nonsense")), 401)


def test_only_a_get_follows_the_stream(server, ada):
    answer = server.http.head(PATH, headers=bearer(token(ada)))
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, OPTIONS")
    expect_problem(server.http.post(PATH, headers=bearer(token(ada))), 405)


# --- Ends ---------------------------------------------------------------------------------------


def test_a_client_that_hangs_up_has_left_at_once(server, producer, ada):
    wait_until(lambda: sessions(server) == 0, what="those of other tests to leave")
    with stream(server, ada, device="web") as events:
        events.expect_live()
        assert sessions(server) == 1
        first = producer.post(ada, title="1")
        events.expect_push("1")
    wait_until(lambda: sessions(server) == 0, what="the session to end", patience=3)
    assert producer.ledger(first)["web"]["outcome"] == "pending"


def test_a_stop_says_goodbye(start_server, ada):
    server = start_server(drain_time=5)
    with stream(server, ada) as events:
        events.expect_live()
        started = time.monotonic()
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        goodbye = events.expect_goodbye(4000)
        assert goodbye.data["reconnect"] is True
        assert goodbye.retry == round(goodbye.data["after"] * 1000)
        stopping.join()
        assert time.monotonic() - started < 3


def test_a_client_that_never_reads_is_let_go(start_server, ada):
    server = start_server(outbound_bytes_max="4MiB")
    producer = server.producer()
    request = f"GET {PATH} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token(ada)}\r\n\r\n"
    with Wire(server, receive_buffer=4096) as wire:
        wire.send(request.encode())
        wait_until(lambda: sessions(server) == 1)
        for _ in range(100):
            producer.post(ada, data="x" * 30_000)
        wait_until(lambda: sessions(server) == 0, what="the deaf to be let go", patience=40)
        wire.socket.setblocking(True)
        while wire.read():
            pass


def test_a_client_that_reads_too_slowly_is_told_so(start_server, ada):
    server = start_server(
        outbound_bytes_max="64KiB", resend_delay=0.05, resend_delay_max=0.05, resend_limit=1000,
        delivery_attempts_max=100_000,
    )  # fmt: skip
    producer = server.producer()
    query = "?ack=explicit"
    head = f"GET {PATH}{query} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token(ada)}\r\n\r\n"
    with Wire(server, receive_buffer=4096) as wire:
        wire.send(head.encode())
        wait_until(lambda: sessions(server) == 1)
        producer.post(ada, data="x" * 30_000)
        time.sleep(3)  # waits for: more to be sent to who does not read than may wait
        everything = b""
        while not everything.endswith(b"\r\n0\r\n\r\n"):
            everything += wire.read()
    assert b'"code":4001,"reason":"slow"' in everything[-400:]
    wait_until(lambda: sessions(server) == 0)


def test_a_stream_with_plain_curl(server, producer, ada):
    command = [
        "curl", "-sN", "--max-time", "30", "-H", f"Authorization: Bearer {token(ada)}",
        f"{server.url}{PATH}?device=curl",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as curl:
        assert curl.stdout is not None
        wait_until(lambda: curl.stdout and "event: synced" in curl.stdout.readline())
        producer.post(ada, title="over curl")
        line = wait_until(lambda: _line_with(curl, "over curl"))
        assert line.startswith("data: ")
        curl.terminate()


def _line_with(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    return line if text in line else ""


def test_an_event_that_speaks_all_tongues(server, producer: Producer, ada):
    title = "Grüße \U0001f514\u2028 \r\n data: x"
    with stream(server, ada) as events:
        events.expect_live()
        producer.post(ada, title=title)
        assert events.expect("push").data["notification"]["title"] == title
