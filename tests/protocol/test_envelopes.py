"""Envelopes: what is written is read, by everybody but the one who wrote it."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.envelopes import (
    Alive,
    DeviceAcknowledged,
    DeviceArrived,
    DeviceGone,
    DeviceHere,
    DisconnectUser,
    Envelope,
    Joined,
    Leaving,
    LogChange,
    LogHead,
    SharedPart,
    Spooling,
    SpoolingHeard,
    TopicAdvanced,
    Unreadable,
    Voice,
    channel_topic,
    channel_user,
    encode_shared,
    read_envelope,
    read_shared,
    topic_channel,
    user_channel,
)

PART = SharedPart("n", "created", '{"id":"n","title":"Grüße"}', 5)
EVERY: list[Envelope] = [
    LogHead(7),
    TopicAdvanced(),
    Joined("news"),
    DeviceArrived("phone", "1.2", 7, 0.5),
    DeviceHere("phone", "1.2", 100.5, 120.25),
    DeviceAcknowledged("phone", None, ("a", "b"), 1.5),
    DeviceAcknowledged("phone", 7, (), 2.0),
    DeviceGone("phone"),
    DisconnectUser("ada"),
    Alive(1.5),
    Leaving(),
    Spooling("1-1"),
    SpoolingHeard("1-1"),
]


@pytest.mark.parametrize("envelope", EVERY, ids=lambda each: type(each).__name__)
def test_what_is_written_is_read(envelope):
    assert read_envelope(Voice("node-a").write(envelope)) == ("node-a", envelope)


def test_a_change_carries_everything_that_a_delivery_needs():
    change = LogChange(3, 2, 1, msgspec.Raw(encode_shared(PART)), "read", None, 9)
    speaker, read = read_envelope(Voice("node-a").write(change))

    assert speaker == "node-a"
    assert isinstance(read, LogChange)
    assert (read.sequence, read.unread, read.unseen) == (3, 2, 1)
    assert (read.state, read.seen_at, read.read_at) == ("read", None, 9)
    assert read_shared(bytes(read.shared)) == PART


def test_what_is_the_same_for_all_is_written_once_and_known_again_by_its_bytes():
    shared = msgspec.Raw(encode_shared(PART))
    voice = Voice("node-a")
    read = [read_envelope(voice.write(LogChange(each, 0, 0, shared)))[1] for each in (1, 2)]

    assert [bytes(each.shared) for each in read if isinstance(each, LogChange)] == [
        bytes(shared),
        bytes(shared),
    ]


def test_a_node_passes_over_its_own_words_but_for_those_that_it_waits_for():
    a, b = Voice("node-a"), Voice("node")
    own = {type(each) for each in EVERY if a.is_own(a.write(each))}

    assert {type(each) for each in EVERY} - own == {Alive, DeviceArrived, DeviceHere, Spooling}
    assert not any(b.is_own(a.write(each)) or a.is_own(b.write(each)) for each in EVERY)


def test_a_channel_names_its_user_or_its_topic():
    assert channel_user(user_channel("a:b")) == "a:b"
    assert channel_topic(topic_channel("*")) == "*"
    assert channel_user(topic_channel("u:x")) is None
    assert channel_topic(user_channel("t:x")) is None
    assert channel_user("c") is channel_topic("c") is None


@given(st.binary(max_size=60))
def test_what_is_no_envelope_is_unreadable_and_nothing_worse(payload):
    with contextlib.suppress(Unreadable):
        read_envelope(payload)


@given(st.sampled_from(EVERY), st.data())
def test_an_envelope_that_was_cut_or_changed_is_unreadable_or_another(envelope, data):
    payload = bytearray(Voice("node-a").write(envelope))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Unreadable):
        read_envelope(bytes(payload[: data.draw(st.integers(0, len(payload)))]))


def test_what_a_newer_release_says_is_unreadable():
    unknown = b"\x00\x06node-a" + msgspec.msgpack.encode([99, "x"])
    with pytest.raises(Unreadable):
        read_envelope(unknown)
    with pytest.raises(Unreadable):
        read_shared(b"\x91\x01")
