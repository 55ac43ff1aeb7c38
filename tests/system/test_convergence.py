"""One user on three transports at once: whatever happens, all devices end up with the same picture.

Random publishes, updates, withdrawals, marks, disconnects and changes of transport, on a real
server; at the end, and now and then in between, every device must show what the server's inbox
holds, with the same counters, and no device may have seen a gap or a change taken back.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from servers.node import PATIENCE
from servers.tokens import bearer, token
from tests.system.device_kit import Frame
from tests.system.followers_kit import TRANSPORTS, Follower, Screen
from tests.system.producer_kit import Producer, expect_json
from tests.system.server_kit import Server, fresh_user

DEVICES = ("desktop", "browser", "phone")
which = st.integers(0, 20)
device = st.sampled_from(DEVICES)
transport = st.sampled_from(sorted(TRANSPORTS))

operations = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from(["user", "user", "topic", "all"])),
    st.tuples(st.just("publish"), st.sampled_from(["user", "user", "topic", "all"])),
    st.tuples(st.just("burst"), st.integers(2, 12)),
    st.tuples(st.just("update"), which),
    st.tuples(st.just("withdraw"), which),
    st.tuples(
        st.just("mark"),
        st.sampled_from(["seen", "read", "unread", "archived"]),
        st.sampled_from(["ids", "ids", "through", "all"]),
        which,
    ),
    st.tuples(st.just("connect"), device, transport),
    st.tuples(st.just("connect"), device, transport),
    st.tuples(st.just("take_over"), device, transport),
    st.tuples(st.just("disconnect"), device),
    st.tuples(st.just("forget"), device),
    st.tuples(st.just("subscribe"), st.booleans()),
    st.tuples(st.just("settle")),
)
thorough = settings(
    deadline=None,
    # Nothing is shrunk: a story that fails takes as long as the patience that it exhausts.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(story=st.lists(operations, min_size=12, max_size=40))
@settings(thorough, max_examples=12)
def test_all_devices_of_a_user_show_the_same(server: Server, story: list[Any]) -> None:
    play(server, story)


@pytest.mark.faults
@pytest.mark.timeout(1800)
@given(story=st.lists(operations, min_size=10, max_size=80))
@settings(thorough, max_examples=150)
def test_all_devices_of_a_user_show_the_same_at_length(server: Server, story: list[Any]) -> None:
    play(server, story)


def play(server: Server, story: list[Any]) -> None:
    household = Household(server)
    try:
        household.everybody_connects()
        for name, *arguments in story:
            getattr(household, name)(*arguments)
        household.everybody_connects()
        household.settle()
    finally:
        household.close()


class Household:
    """A user, their devices, and a backend that has much to tell them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.user = fresh_user()
        self.topic = fresh_user("topic")
        self.producer: Producer = server.producer()
        self.screens = {name: Screen(name) for name in DEVICES}
        self.followers: dict[str, Follower] = {}
        self.made: list[str] = []
        self.inbox()  # a user who was never seen is not among all

    # --- Events ----------------------------------------------------------------------------------

    def publish(self, to: str) -> None:
        audiences: dict[str, dict[str, Any]] = {
            "user": {"users": [self.user]},
            "topic": {"topic": self.topic},
            "all": {"all": True},
        }
        body = {"to": audiences[to], "title": f"number {len(self.made)}"}
        answer = self.producer.request("POST", "/v1/notifications", json=body)
        self.made.append(expect_json(answer, 201)["id"])

    def burst(self, count: int) -> None:
        items = [{"to": {"users": [self.user]}, "title": f"burst {n}"} for n in range(count)]
        answer = self.producer.request("POST", "/v1/notifications/batch", json=items)
        results = expect_json(answer)["results"]
        assert [result["status"] for result in results] == [201] * count
        self.made += [result["id"] for result in results]

    def update(self, number: int) -> None:
        if self.made:
            chosen = self.made[number % len(self.made)]
            path = f"/v1/notifications/{chosen}"
            answer = self.producer.request("PATCH", path, json={"title": f"changed {number}"})
            assert answer.status_code in (200, 409), answer.text

    def withdraw(self, number: int) -> None:
        if self.made:
            self.producer.withdraw(self.made[number % len(self.made)])

    def mark(self, state: str, how: str, number: int) -> None:
        what: dict[str, Any] = {"all": True}
        if how == "ids":
            ids = [self.made[(number + n) % len(self.made)] for n in range(3)] if self.made else []
            what = {"ids": sorted(set(ids))}
        elif how == "through":
            what = {"through": self.inbox()["cursor"]}
        if what.get("ids") != []:
            body = {"state": state, **what}
            answer = self.server.http.post("/v1/inbox/mark", json=body, headers=self.headers)
            assert expect_json(answer)["changed"] >= 0

    def connect(self, name: str, transport: str) -> None:
        """Hang up, if need be, and come back by another way with what the device has."""
        self.disconnect(name)
        self.take_over(name, transport)

    def take_over(self, name: str, transport: str) -> None:
        """Come by another way while the old connection is still there, which is then replaced."""
        before = self.followers.pop(name, None)
        if before is not None:
            before.arrive()
        self.followers[name] = TRANSPORTS[transport](self.server, self.user, self.screens[name])
        if before is not None:
            with suppress(OSError):
                before.close()

    def everybody_connects(self) -> None:
        """The devices that are not connected connect, each by a way of its own."""
        for name, transport in zip(DEVICES, sorted(TRANSPORTS), strict=True):
            if name not in self.followers:
                self.connect(name, transport)

    def disconnect(self, name: str) -> None:
        follower = self.followers.pop(name, None)
        if follower is not None:
            follower.close()

    def forget(self, name: str) -> None:
        """A device is reinstalled."""
        self.disconnect(name)
        self.screens[name].forget()

    def subscribe(self, wanted: bool) -> None:
        path = f"/v1/me/subscriptions/{self.topic}"
        method = "PUT" if wanted else "DELETE"
        answer = self.server.http.request(method, path, headers=self.headers)
        assert answer.status_code == 204, answer.text

    # --- Invariants ------------------------------------------------------------------------------

    def settle(self) -> None:
        """Every connected device shows the inbox, in a moment."""
        for name, follower in self.followers.items():
            deadline = time.monotonic() + PATIENCE
            while difference := self.difference(self.screens[name]):
                assert not self.screens[name].faults, self.screens[name].faults
                assert time.monotonic() < deadline, f"{name}, {follower}: {difference}"
                time.sleep(0.01)  # waits for: the device's thread to read what has come
            assert not self.screens[name].faults, self.screens[name].faults

    def difference(self, screen: Screen) -> str:
        """Entries that *screen* shows and the inbox does not, or the reverse; empty if none."""
        inbox = self.inbox()
        truth = {each["id"]: each for each in inbox["notifications"]}
        shown, counters = screen.picture()
        wrong = [
            f"{id_}: shown {shown.get(id_)}, in truth {truth.get(id_)}"
            for id_ in shown.keys() | truth.keys()
            if shown.get(id_) != truth.get(id_)
        ]
        if counters != (inbox["unread"], inbox["unseen"]):
            wrong.append(f"counters {counters}, in truth {inbox['unread'], inbox['unseen']}")
        return "; ".join([f"at {screen.cursor} of {inbox['cursor']}", *wrong]) if wrong else ""

    def inbox(self) -> Frame:
        answer = self.server.http.get(
            "/v1/inbox", params={"state": "all", "limit": 200}, headers=self.headers
        )
        inbox = expect_json(answer)
        counted = [each["state"] for each in inbox["notifications"]]
        unseen = counted.count("unseen")
        assert (inbox["unread"], inbox["unseen"]) == (unseen + counted.count("seen"), unseen)
        return inbox

    @property
    def headers(self) -> dict[str, str]:
        return bearer(token(self.user))

    def close(self) -> None:
        for name in list(self.followers):
            with suppress(OSError, httpx.HTTPError):
                self.disconnect(name)
