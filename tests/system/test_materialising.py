"""A topic with ten thousand subscribers, brought into their logs by a server that is killed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from random import Random

import httpx
import pytest

from servers.node import wait_until
from servers.tokens import bearer, token
from tests.system.producer_kit import expect_json
from tests.system.server_kit import Server, fresh_user
from tests.system.shared_servers_kit import Store

USERS = 10_000
CHUNK = 1000
SAMPLE = 400


@pytest.mark.timeout(300)
def test_every_subscriber_gets_it_exactly_once_however_often_the_server_is_killed(
    start_server: Callable[..., Server], new_store: Store
):
    server = start_server(**new_store())
    names = [f"u{number}" for number in range(USERS)]
    subscribe(server, "news", names)
    answer = server.producer().try_post(to={"topic": "news"}, title="for all of you")
    assert expect_json(answer, 201)["recipients"] == USERS
    notification = answer.json()["id"]

    # Users who join a topic are brought up to date with the others first, a thousand at a time.
    for attempt, share in enumerate((0.3, 0.6)):
        topic = f"further-{attempt}"
        joining = threading.Thread(target=subscribe_while_it_lives, args=(server, topic, names))
        joining.start()
        wait_until(lambda topic=topic, share=share: brought(server, topic) >= share * USERS)  # type: ignore[misc]
        server.kill()
        joining.join()
        server.start()
    subscribe(server, "last", names)

    for user in Random(1).sample(names, SAMPLE):
        inbox = expect_json(server.http.get("/v1/inbox", headers=bearer(token(user))))
        assert [each["id"] for each in inbox["notifications"]] == [notification], user
        assert (inbox["unread"], inbox["unseen"]) == (1, 1)
        assert inbox["cursor"].endswith(".1"), "one entry, and no second one that came and went"
    with server.device(names[0], cursor="0") as device:
        device.expect_push("for all of you", sequence=1, change="created")
        device.expect_synced()


def test_a_list_of_subscribers_may_change_while_it_is_brought_up_to_date(server: Server):
    """A subscriber who leaves before the publish gets nothing; one who was in then gets it once."""
    topic = fresh_user("topic")
    staying = [fresh_user("staying") for _ in range(50)]
    leaving = [fresh_user("leaving") for _ in range(50)]
    subscribe(server, topic, staying + leaving)
    producer = server.producer()
    devices = [server.device(user, cursor="0") for user in staying[:10]]

    def leave() -> None:
        with httpx.Client(base_url=server.url, verify=False) as client:
            for user in leaving:
                path = f"/v1/topics/{topic}/subscribers/{user}"
                client.delete(path, headers=bearer(token("shop", "notify")))

    coming_and_going = threading.Thread(target=leave)
    coming_and_going.start()
    posted: list[str] = []
    # No more than fit the window of a device that does not acknowledge.
    while len(posted) < 3 or (len(posted) < 60 and coming_and_going.is_alive()):
        answer = producer.try_post(to={"topic": topic}, title=f"number {len(posted)}")
        posted.append(expect_json(answer, 201)["id"])
    coming_and_going.join()
    last = expect_json(producer.try_post(to={"topic": topic}, title="after all"), 201)

    assert last["recipients"] == len(staying)
    for user in staying:
        assert ids(server, user) == [*posted, last["id"]]
    for user in leaving:
        got = ids(server, user)
        assert got == posted[: len(got)], "what was published before they left, and all of that"
    for device in devices:
        device.expect_synced()
        # The device has acknowledged nothing, so pushes that it looks at late were sent again.
        titles: dict[str, None] = {}
        while "after all" not in titles:
            titles[device.expect_push()["notification"]["title"]] = None
        assert [*titles] == [*(f"number {number}" for number in range(len(posted))), "after all"]
        device.close()


def subscribe(server: Server, topic: str, users: list[str]) -> None:
    for start in range(0, len(users), CHUNK):
        answer = server.producer().request(
            "POST",
            f"/v1/topics/{topic}/subscribers",
            json={"users": users[start : start + CHUNK]},
        )
        assert answer.status_code == 200, answer.text


def subscribe_while_it_lives(server: Server, topic: str, users: list[str]) -> None:
    with suppress(httpx.TransportError), httpx.Client(base_url=server.url, verify=False) as client:
        for start in range(0, len(users), CHUNK):
            client.post(
                f"/v1/topics/{topic}/subscribers",
                json={"users": users[start : start + CHUNK]},
                headers=bearer(token("shop", "notify")),
            )


def brought(server: Server, topic: str) -> int:
    """How many have joined *topic* so far; a page of the list is enough to know."""
    path = f"/v1/topics/{topic}/subscribers"
    count, after = 0, ""
    while True:
        params = {"limit": "1000", **({"after": after} if after else {})}
        answer = expect_json(server.producer().request("GET", path, params=params))
        count += len(answer["subscribers"])
        if answer["next"] is None:
            return count
        after = answer["next"]


def ids(server: Server, user: str) -> list[str]:
    """The ids in the inbox of *user*, the oldest first."""
    answer = server.http.get("/v1/inbox", params={"limit": 200}, headers=bearer(token(user)))
    return [each["id"] for each in reversed(expect_json(answer)["notifications"])]
