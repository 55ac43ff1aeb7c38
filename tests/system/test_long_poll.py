"""The inbox by long polling: for clients that cannot hold a stream."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from servers.node import wait_until
from servers.tokens import bearer, token
from tests.system.plain_http_kit import poll, titles, try_poll, wait_until_begun
from tests.system.producer_kit import expect_json, expect_problem
from tests.system.raw_kit import Wire

PATH = "/v1/inbox/changes"


def sessions(server) -> int:
    return int(server.metric("tocsin_sessions"))


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as pool:
        yield pool


# --- Changes that are there ---------------------------------------------------------------------


def test_a_poll_answers_at_once_with_what_there_is(server, producer, ada):
    producer.post(ada, title="1")
    producer.post(ada, title="2")

    answer = poll(server, ada, wait=30)

    assert titles(answer) == ["1", "2"]
    assert {"changes", "cursor", "more", "unread", "unseen"} == answer.keys()
    assert (answer["more"], answer["unread"], answer["unseen"]) == (False, 2, 2)
    first = answer["changes"][0]
    assert (first["type"], first["attempt"], first["replay"]) == ("push", 1, True)


def test_a_poll_of_nothing_does_not_wait_unless_asked(server, ada):
    started = time.monotonic()
    answer = poll(server, ada)

    assert time.monotonic() - started < 5
    assert (answer["changes"], answer["more"]) == ([], False)
    assert answer["cursor"].endswith(".0")


def test_a_poll_waits_for_as_long_as_it_was_asked_to(server, ada):
    started = time.monotonic()
    answer = poll(server, ada, wait=1.5)

    assert 1.4 < time.monotonic() - started < 5
    assert answer["changes"] == []


def test_a_poll_that_waits_hears_of_a_change_at_once(server, producer, ada, pool):
    before = sessions(server)
    waiting = pool.submit(poll, server, ada, wait=30)
    wait_until(lambda: sessions(server) == before + 1)
    producer.post(ada, title="now")

    answer = waiting.result(5)
    assert titles(answer) == ["now"]
    assert answer["changes"][0]["replay"] is False
    assert answer["unread"] == 1


def test_more_than_the_limit_comes_in_pages(server, producer, ada):
    for number in range(7):
        producer.post(ada, title=str(number))

    answer = poll(server, ada, limit=3)
    seen = titles(answer)
    while answer["more"]:
        assert len(answer["changes"]) == 3
        answer = poll(server, ada, limit=3, cursor=answer["cursor"])
        seen += titles(answer)
    assert seen == [str(number) for number in range(7)]


def test_more_than_fits_one_window_of_bytes_comes_in_pages(start_server, ada):
    server = start_server(outbound_bytes_max="256KiB")
    producer = server.producer()
    for number in range(5):
        producer.post(ada, title=str(number), data="x" * 30_000)

    answer = poll(server, ada)
    seen = titles(answer)
    assert answer["more"]
    while answer["more"]:
        answer = poll(server, ada, cursor=answer["cursor"])
        seen += titles(answer)
    assert seen == ["0", "1", "2", "3", "4"]


# --- Acknowledging ------------------------------------------------------------------------------


def test_the_next_cursor_acknowledges_everything_up_to_it(server, producer, ada):
    first = producer.post(ada, title="1")
    answer = poll(server, ada)
    assert producer.ledger(first)["default"]["outcome"] == "pending"

    second = producer.post(ada, title="2")
    answer = poll(server, ada, cursor=answer["cursor"])

    assert titles(answer) == ["2"]
    assert producer.ledger(first)["default"]["outcome"] == "acknowledged"
    assert producer.ledger(second)["default"]["outcome"] == "pending"


def test_the_same_cursor_again_gets_the_same_again(server, producer, ada):
    cursor = poll(server, ada)["cursor"]
    producer.post(ada, title="1")

    for attempt in (1, 2, 3):
        answer = poll(server, ada, cursor=cursor)
        assert titles(answer) == ["1"]
        assert answer["changes"][0]["attempt"] == attempt


def test_a_poll_without_a_cursor_goes_on_where_the_device_stopped(server, producer, ada):
    producer.post(ada, title="1")
    poll(server, ada, device="tablet", cursor=poll(server, ada, device="tablet")["cursor"])
    producer.post(ada, title="2")

    assert titles(poll(server, ada, device="tablet")) == ["2"]


def test_a_notification_sent_too_often_is_dead_and_blocks_no_other(start_server, ada):
    server = start_server(delivery_attempts_max=3)
    producer = server.producer()
    poison = producer.post(ada, title="poison")
    for attempt in (1, 2, 3):
        assert poll(server, ada)["changes"][0]["attempt"] == attempt
    producer.post(ada, title="next")

    assert titles(poll(server, ada)) == ["next"]
    assert producer.ledger(poison)["default"]["outcome"] == "dead"


def test_a_poll_that_is_cut_confirms_nothing(server, producer, ada):
    cursor = poll(server, ada)["cursor"]
    before = sessions(server)
    head = f"GET {PATH}?wait=30&cursor={cursor} HTTP/1.1\r\nHost: h\r\n"
    with Wire(server) as wire:
        wire.send(f"{head}Authorization: Bearer {token(ada)}\r\n\r\n".encode())
        wait_until(lambda: sessions(server) == before + 1)
    wait_until(lambda: sessions(server) == before, what="the poll to end", patience=3)
    first = producer.post(ada, title="1")

    assert producer.ledger(first) == {}
    assert titles(poll(server, ada, cursor=cursor)) == ["1"]
    assert producer.ledger(first)["default"]["outcome"] == "pending"


# --- Resets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cursor", ["other.7", "beyond"])
def test_a_cursor_that_cannot_be_served_is_answered_with_a_page_from_the_start(
    server, producer, ada, cursor
):
    producer.post(ada, title="1")
    if cursor == "beyond":
        cursor = poll(server, ada)["cursor"].split(".")[0] + ".99"

    answer = poll(server, ada, wait=30, cursor=cursor)

    assert (answer["reset"], answer["reason"]) == (True, "epoch")
    assert titles(answer) == ["1"]
    assert "reset" not in poll(server, ada, cursor=answer["cursor"])


# --- Refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    ["cursor=what", "wait=61", "wait=-1", "wait=soon", "limit=0", "limit=1001", "device=a%20b",
     "since=1", "wait=1&wait=2", "wait=nan"],
)  # fmt: skip
def test_a_poll_that_makes_no_sense_is_refused(server, ada, query):
    answer = server.http.get(f"{PATH}?{query}", headers=bearer(token(ada)))
    expect_problem(answer, 422, "invalid")


def test_a_poll_needs_a_user(server):
    expect_problem(server.http.get(PATH), 401)


def test_a_poll_that_is_only_looked_at_changes_nothing(server, ada):
    assert server.http.head(PATH, headers=bearer(token(ada))).status_code == 405


# --- Ends ---------------------------------------------------------------------------------------


def test_another_connection_of_the_device_takes_over(server, ada, pool):
    before = sessions(server)
    waiting = pool.submit(try_poll, server, ada, wait=30)
    wait_until(lambda: sessions(server) == before + 1)
    poll(server, ada)

    expect_problem(waiting.result(5), 409, "replaced")


def test_an_operator_ends_a_poll(server, ada, pool):
    before = sessions(server)
    waiting = pool.submit(try_poll, server, ada, wait=30)
    wait_until(lambda: sessions(server) == before + 1)
    path = f"/v1/admin/users/{ada}/disconnect"
    server.http.post(path, headers=bearer(token("root", "admin")))

    expect_problem(waiting.result(5), 409, "disconnected")


def test_a_token_that_runs_out_ends_the_poll(server, ada):
    headers = bearer(token(ada, lifetime=2))
    answer = server.http.get(f"{PATH}?wait=30", headers=headers)

    expect_problem(answer, 401, "token_expired")


def test_a_stop_answers_polls_that_wait(start_server, ada, pool):
    server = start_server(drain_time=5)
    cursor = poll(server, ada)["cursor"]
    waiting = pool.submit(try_poll, server, ada, device="phone", wait=30, cursor=cursor)
    wait_until_begun(server, ada, "phone")
    stopping = threading.Thread(target=server.stop)
    started = time.monotonic()
    stopping.start()

    answer = waiting.result(10)
    stopping.join()
    assert time.monotonic() - started < 3
    said = expect_json(answer)
    assert (said["changes"], said["cursor"]) == ([], cursor)
    assert (said["goodbye"]["code"], said["goodbye"]["reason"]) == (4000, "draining")
    assert int(answer.headers["Retry-After"]) >= said["goodbye"]["after"]


# --- Crowds -------------------------------------------------------------------------------------


def test_polls_that_wait_cost_no_processor(start_server):
    server = start_server()
    head = f"GET {PATH}?wait=60 HTTP/1.1\r\nHost: h\r\n"
    wires = [Wire(server) for _ in range(200)]
    try:
        for number, wire in enumerate(wires):
            wire.send(f"{head}Authorization: Bearer {token(f'u{number}')}\r\n\r\n".encode())
        wait_until(lambda: sessions(server) == 200)
        wait_until(lambda: _idle_share(server) < 0.05, what="the processor to rest")
    finally:
        for wire in wires:
            wire.socket.close()


def _idle_share(server) -> float:
    before = sum(server.process.cpu_times()[:2])
    time.sleep(2)  # waits for: enough time to measure what is done in it
    return float(sum(server.process.cpu_times()[:2]) - before) / 2
