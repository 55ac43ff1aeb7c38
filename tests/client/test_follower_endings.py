"""The follower when a connection ends, or falls silent: whether it comes back, and when."""

from __future__ import annotations

import math

import pytest

from tests.client.conversation_kit import Conversation, sent, told, trouble, waits
from tocsin.protocol.closing import Closing
from tocsin_client.actions import Refresh, Stop, Wait
from tocsin_client.follower import RECONNECT_CAP, REFRESH_BEFORE

# --- the end of a connection ----------------------------------------------------------------------


def test_the_server_says_how_long_to_wait():
    talk = Conversation().live()
    assert waits(talk.hears_goodbye(Closing.DRAINING, after=7.25)) == 7.25


def test_without_a_word_the_wait_grows_up_to_a_limit():
    talk = Conversation(random=lambda: 1.0)
    delays = [waits(talk.follower.unreachable("no")) for _ in range(8)]
    assert delays == [0.5, 1, 2, 4, 8, 16, RECONNECT_CAP, RECONNECT_CAP]


def test_a_session_that_got_live_lets_the_wait_begin_anew():
    talk = Conversation(random=lambda: 1.0)
    for _ in range(5):
        talk.follower.unreachable("no")
    talk.live()
    assert waits(talk.follower.closed(1006)) == 0.5


def test_a_server_that_ends_every_session_at_once_is_not_hurried():
    talk = Conversation(random=lambda: 1.0)
    delays = []
    for _ in range(3):
        talk.opens()
        talk.hears_welcome()
        delays.append(waits(talk.follower.closed(1006)))
    assert delays == [0.5, 1, 2]


@pytest.mark.parametrize("closing", Closing)
def test_whether_to_come_back_is_in_the_number(closing):
    """With the goodbye, and without it where only the close frame arrived."""
    for end in (
        Conversation().live().hears_goodbye(closing, after=1.0),
        Conversation().live().follower.closed(int(closing)),
    ):
        kinds = [type(action) for action in end]
        assert kinds == ([Wait] if closing.reconnect else [Stop])


def test_a_replaced_device_learns_the_remedy():
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
    talk = Conversation().live()
    talk.opens(expires=talk.now + REFRESH_BEFORE + 100)
    talk.hears_welcome()
    for _ in range(4):
        assert Refresh() not in talk.passes(20)
        talk.hears("pong")
    assert talk.passes(20)[-1] == Refresh()
    talk.hears("pong")
    fresh = talk.follower.refreshed("token-2", talk.now + REFRESH_BEFORE + 20)
    assert sent(fresh) == [{"type": "refresh", "token": "token-2"}]
    assert Refresh() in talk.passes(20)


def test_without_a_connection_there_is_no_deadline():
    assert Conversation().follower.deadline == math.inf
