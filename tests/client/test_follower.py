"""The follower, told what a server says and what time it is: what it shows and acknowledges."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tests.client.conversation_kit import Conversation, sent, shown, told, trouble, waits
from tocsin.client.narration import Narrator
from tocsin_client.actions import Status
from tocsin_client.follower import ACK_DELAY

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
    assert trouble(talk.hears_welcome(user="bob")) == "The token is bob's and not ada's."


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


def test_one_that_leaves_acknowledges_what_was_handled_and_no_more():
    talk = Conversation().live()
    for sequence in (1, 2):
        talk.hears_push(sequence)
    assert len(talk.hears_a_push(3)) == 1
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
    narrator = Narrator("ada", "the server")

    def hears(store):
        [status] = talk.hears("status", bus="ok", store=store)
        assert isinstance(status, Status)
        assert json.loads(status.raw)["store"] == store
        return narrator.text(status, "desk")

    assert hears("ok") is None
    assert hears("lost") == "The server has lost its store."
    assert hears("lost") is None
    assert hears("ok") == "The server's store is back."


# --- with any input -------------------------------------------------------------------------------


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
