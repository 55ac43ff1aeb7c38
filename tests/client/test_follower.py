"""The follower, told what a server says and what time it is."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.client.follower import (
    ACK_DELAY,
    RECONNECT_CAP,
    Follower,
    Send,
    Show,
    Stop,
    Tell,
    Wait,
)
from tocsin.protocol.closing import Closing


class Conversation:
    """A follower and the server's half of what is said to it, at a time that only we move."""

    def __init__(self, **options):
        self.now = 1000.0
        self.tokens = 0
        options = {"random": lambda: 0.5, **options}
        self.follower = Follower("ada", "desk", self._token, **options)

    def _token(self):
        self.tokens += 1
        return f"token-{self.tokens}"

    def opens(self):
        """A connection is there; what hello says."""
        [hello] = self.follower.opened(self.now)
        return frame(hello)

    def hears(self, kind, **fields):
        return self.follower.heard(json.dumps({"type": kind, **fields}), self.now)

    def hears_welcome(self, cursor="e1.0", **fields):
        epoch = cursor.partition(".")[0]
        said = {"user": "ada", "device": "desk", "node": "n", "epoch": epoch, "cursor": cursor}
        return self.hears("welcome", **said | fields)

    def hears_push(self, sequence, previous=None, **fields):
        notification = {"id": "1", "title": f"no. {sequence}", "updated_at": "2026-01-01"}
        return self.hears(
            "push",
            sequence=sequence,
            previous=sequence - 1 if previous is None else previous,
            change="created",
            notification=notification,
            **fields,
        )

    def hears_goodbye(self, closing, after=0.0):
        said = {"code": int(closing), "reason": closing.word, "reconnect": closing.reconnect}
        assert self.hears("goodbye", **said, after=after) == []
        return self.follower.closed(int(closing))

    def passes(self, seconds):
        """Time passes, and the follower is called at each of its deadlines."""
        actions = []
        until = self.now + seconds
        while self.follower.next_deadline() <= until:
            self.now = max(self.now, self.follower.next_deadline())
            actions += self.follower.due(self.now)
            if any(isinstance(action, Wait | Stop) for action in actions):
                return actions
        self.now = until
        return actions

    def live(self, cursor="e1.0"):
        self.opens()
        self.hears_welcome(cursor)
        self.hears("synced", sequence=0)
        return self


def frame(action):
    assert isinstance(action, Send)
    return json.loads(action.text)


def sent(actions):
    return [frame(action) for action in actions if isinstance(action, Send)]


def shown(actions):
    return [action.push.sequence for action in actions if isinstance(action, Show)]


def waits(actions):
    [wait] = [action.delay for action in actions if isinstance(action, Wait)]
    return wait


def told(actions):
    return " ".join(action.text for action in actions if isinstance(action, Tell))


def trouble(actions):
    [stop] = actions
    assert isinstance(stop, Stop)
    return stop.trouble or ""


# --- hello and welcome ----------------------------------------------------------------------------


def test_the_first_hello_leaves_the_start_to_the_server():
    assert Conversation(client="us").opens() == {
        "type": "hello",
        "device": "desk",
        "token": "token-1",
        "client": "us",
    }


def test_a_cursor_that_was_given_is_in_the_first_hello():
    assert Conversation(cursor="0").opens()["cursor"] == "0"


def test_the_next_hello_goes_on_behind_what_was_shown():
    talk = Conversation().live("e1.4")
    talk.hears_push(5)
    talk.hears_push(9, previous=5)
    talk.follower.closed(None)
    hello = talk.opens()
    assert hello["cursor"] == "e1.9"
    assert hello["token"] == "token-2"


def test_even_if_nothing_was_shown_the_start_is_kept():
    talk = Conversation().live("e1.4")
    talk.follower.closed(None)
    assert talk.opens()["cursor"] == "e1.4"


def test_an_inbox_of_somebody_else_is_not_listened_to():
    talk = Conversation()
    talk.opens()
    [stop] = talk.hears_welcome(user="bob")
    assert stop == Stop("The token is bob's and not ada's.")


def test_a_credential_without_an_inbox_is_no_use():
    talk = Conversation()
    talk.opens()
    assert "no inbox" in trouble(talk.hears_welcome(user=None))


def test_something_else_than_tocsin_is_left():
    talk = Conversation()
    talk.opens()
    for text in ("hi", b"\xff", "[]", '{"type":"push"}', "[" * 100_000):
        assert "does not speak Tocsin" in trouble(talk.follower.heard(text, talk.now))


def test_frames_and_fields_of_a_later_server_are_passed_over():
    talk = Conversation().live()
    assert talk.hears("weather", rain=True) == []
    assert shown(talk.hears_push(1, shiny=True)) == [1]


# --- pushes ---------------------------------------------------------------------------------------


def test_a_push_is_shown_and_acknowledged_a_moment_later():
    talk = Conversation().live()
    actions = talk.hears_push(1)
    assert shown(actions) == [1]
    assert sent(actions) == []
    assert sent(talk.passes(ACK_DELAY)) == [{"type": "ack", "sequence": 1}]
    assert sent(talk.passes(ACK_DELAY)) == []


def test_pushes_that_come_together_are_acknowledged_together():
    talk = Conversation().live()
    for sequence in (1, 2, 3):
        talk.hears_push(sequence)
    assert sent(talk.passes(ACK_DELAY)) == [{"type": "ack", "sequence": 3}]


def test_many_pushes_are_acknowledged_before_the_window_is_full():
    talk = Conversation()
    talk.opens()
    talk.hears_welcome(window=8)
    acks = [ack for number in range(1, 9) for ack in sent(talk.hears_push(number))]
    assert acks == [{"type": "ack", "sequence": 4}, {"type": "ack", "sequence": 8}]


def test_the_end_of_the_replay_is_worth_an_ack_at_once():
    talk = Conversation()
    talk.opens()
    talk.hears_welcome()
    talk.hears_push(1, replay=True)
    assert sent(talk.hears("synced", sequence=1)) == [{"type": "ack", "sequence": 1}]


def test_a_push_that_comes_again_is_acknowledged_again_and_not_shown():
    talk = Conversation().live()
    talk.hears_push(1)
    talk.hears_push(2)
    talk.passes(1)
    assert shown(talk.hears_push(1, attempt=2)) == []
    assert sent(talk.passes(ACK_DELAY)) == [{"type": "ack", "sequence": 2}]


def test_a_gap_is_not_believed_and_the_next_connection_starts_before_it():
    talk = Conversation().live()
    talk.hears_push(1)
    actions = talk.hears_push(4, previous=3)
    assert shown(actions) == []
    assert "Missed something between 1 and 4." in told(actions)
    assert waits(actions) > 0
    assert talk.opens()["cursor"] == "e1.1"


def test_after_so_many_pushes_it_stops_and_acknowledges_them():
    talk = Conversation(shown_max=2).live()
    assert shown(talk.hears_push(1)) == [1]
    show, stop = talk.hears_push(2)
    assert shown([show]) == [2]
    assert stop == Stop()
    assert sent(talk.follower.leaving()) == [{"type": "ack", "sequence": 2}]


def test_a_spectator_acknowledges_nothing_and_sees_what_comes_again():
    talk = Conversation(acknowledge=False).live()
    assert shown(talk.hears_push(1)) == [1]
    assert shown(talk.hears_push(1, attempt=2)) == [1]
    assert sent(talk.passes(5)) == []
    assert talk.follower.leaving() == []


def test_a_spectator_names_no_cursor_because_that_would_acknowledge():
    talk = Conversation(acknowledge=False).live()
    talk.hears_push(1)
    talk.follower.closed(None)
    assert "cursor" not in talk.opens()


# --- reset and status -----------------------------------------------------------------------------


def test_after_a_reset_the_server_starts_where_it_can():
    talk = Conversation(cursor="e1.70")
    talk.opens()
    talk.hears_welcome("e2.10")
    actions = talk.hears("reset", reason="epoch")
    assert "Starting over" in told(actions)
    assert shown(talk.hears_push(14, previous=10, replay=True)) == [14]
    talk.follower.closed(None)
    assert talk.opens()["cursor"] == "e2.14"


def test_a_connection_lost_right_after_a_reset_asks_for_everything():
    talk = Conversation(cursor="e1.70")
    talk.opens()
    talk.hears_welcome("e2.10")
    talk.hears("reset", reason="epoch")
    talk.follower.closed(None)
    assert talk.opens()["cursor"] == "0"


def test_a_reset_in_the_middle_of_a_session_forgets_what_waits_for_its_ack():
    talk = Conversation().live()
    talk.hears_push(1)
    talk.hears("reset", reason="horizon")
    assert sent(talk.passes(1)) == []
    assert shown(talk.hears_push(60, previous=50)) == [60]
    assert sent(talk.passes(1)) == [{"type": "ack", "sequence": 60}]


def test_a_hop_that_is_lost_and_back_is_told_once_each():
    talk = Conversation().live()
    assert talk.hears("status", bus="ok", store="ok") == []
    [lost] = talk.hears("status", bus="ok", store="lost")
    assert lost.text == "The server has lost its store."
    assert json.loads(lost.raw)["store"] == "lost"
    assert talk.hears("status", bus="ok", store="lost") == []
    [back] = talk.hears("status", bus="ok", store="ok")
    assert back.text == "The server's store is back."


# --- the end of a connection ----------------------------------------------------------------------


def test_the_server_says_how_long_to_wait():
    talk = Conversation().live()
    assert waits(talk.hears_goodbye(Closing.DRAINING, after=7.25)) == 7.25


def test_without_a_word_the_wait_grows_up_to_a_limit():
    talk = Conversation(random=lambda: 1.0)
    delays = [waits(talk.follower.unreachable("no")) for _ in range(8)]
    assert delays == [1, 2, 4, 8, 16, RECONNECT_CAP, RECONNECT_CAP, RECONNECT_CAP]


def test_a_session_that_got_live_lets_the_wait_begin_anew():
    talk = Conversation(random=lambda: 1.0)
    for _ in range(5):
        talk.follower.unreachable("no")
    talk.live()
    assert waits(talk.follower.closed(1006)) == 1


def test_a_server_that_ends_every_session_at_once_is_not_hurried():
    talk = Conversation(random=lambda: 1.0)
    delays = []
    for _ in range(3):
        talk.opens()
        talk.hears_welcome()
        delays.append(waits(talk.follower.closed(1006)))
    assert delays == [1, 2, 4]


@pytest.mark.parametrize("closing", Closing)
def test_whether_to_come_back_is_in_the_number(closing):
    """With the goodbye, and without it where only the close frame arrived."""
    for end in (
        Conversation().live().hears_goodbye(closing, after=1.0),
        Conversation().live().follower.closed(int(closing)),
    ):
        kinds = [type(action) for action in end]
        assert kinds == ([Tell, Wait] if closing.reconnect else [Stop])


def test_who_was_replaced_learns_what_to_do():
    text = trouble(Conversation().live().hears_goodbye(Closing.REPLACED))
    assert "as the same device, desk" in text
    assert "--device" in text


# --- silence --------------------------------------------------------------------------------------


def test_a_silent_server_is_asked_and_then_given_up():
    talk = Conversation().live()
    assert sent(talk.passes(25)) == [{"type": "ping"}]
    actions = talk.passes(25)
    assert "fallen silent" in told(actions)
    assert waits(actions) > 0


def test_a_server_that_answers_is_kept():
    talk = Conversation().live()
    for _ in range(10):
        assert sent(talk.passes(25)) == [{"type": "ping"}]
        talk.hears("pong")


def test_a_server_that_never_says_welcome_is_given_up():
    talk = Conversation()
    talk.opens()
    assert waits(talk.passes(60)) > 0
    assert talk.now < 1060


def test_the_token_is_made_anew_before_it_expires():
    talk = Conversation(refresh_every=100.0).live()
    actions = []
    for _ in range(11):
        actions += talk.passes(20)
        talk.hears("pong")
    fresh = [each["token"] for each in sent(actions) if each["type"] == "refresh"]
    assert fresh == ["token-2", "token-3"]


def test_without_a_connection_there_is_no_deadline():
    assert Conversation().follower.next_deadline() == math.inf


# --- whatever happens -----------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["push", "again", "cut", "time"]), max_size=60), st.randoms())
def test_each_change_is_shown_once_in_order_through_any_number_of_connections(events, chance):
    """Against a server that is as simple as one can be: a log, and a cursor in hello."""
    talk = Conversation(random=chance.random).live()
    head, session_sent, acknowledged, seen = 0, [], 0, []

    def hear(sequence, previous, attempt):
        nonlocal acknowledged
        actions = talk.hears_push(sequence, previous=previous, attempt=attempt)
        seen.extend(shown(actions))
        for each in sent(actions):
            acknowledged = max(acknowledged, each["sequence"])

    for event in events:
        match event:
            case "push":
                head += 1
                hear(head, head - 1, 1)
                session_sent.append(head)
            case "again" if session_sent:
                again = chance.choice(session_sent)
                hear(again, again - 1, 2)
            case "cut":
                talk.follower.closed(None)
                cursor = talk.opens()["cursor"]
                start = int(cursor.partition(".")[2])
                assert start >= acknowledged
                talk.hears_welcome(cursor)
                session_sent = []
                for missed in range(start + 1, head + 1):
                    hear(missed, missed - 1, 1)
                    session_sent.append(missed)
            case "time":
                for each in sent(talk.passes(1)):
                    if each["type"] == "ack":
                        assert each["sequence"] in seen
                        acknowledged = max(acknowledged, each["sequence"])
                talk.hears("pong")

    assert seen == list(range(1, head + 1))
