"""Envelopes: what is written is read, by everybody but the one who wrote it."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.cluster.envelopes import (
    AGE_MAX,
    CONTROL,
    LAG_MAX,
    Alive,
    DeviceAcknowledged,
    DeviceArrived,
    DeviceGone,
    DeviceHere,
    DisconnectUser,
    Distrust,
    Ear,
    Envelope,
    Joined,
    Leaving,
    LogChange,
    LogHead,
    Spooling,
    SpoolingHeard,
    TopicAdvanced,
    Unreadable,
    Untrusted,
    Voice,
    channel_topic,
    channel_user,
    encode_shared,
    read_shared,
    topic_channel,
    user_channel,
)
from tocsin.protocol.cluster.seals import Purpose, Seal, Seals
from tocsin.protocol.log.news import SharedPart

PART = SharedPart("n", "created", '{"id":"n","title":"Grüße"}', 5)
EVERY: list[Envelope] = [
    LogHead(7),
    TopicAdvanced(),
    Joined("news"),
    DeviceArrived("phone", "1.2", 7, 0.5),
    DeviceHere("phone", "1.2", 100.5, 120.25),
    DeviceAcknowledged("phone", None, ("a", "b"), "a/ws-1/7"),
    DeviceAcknowledged("phone", 7, (), None),
    DeviceGone("phone"),
    DisconnectUser("ada"),
    Alive(1.5),
    Leaving(),
    Spooling("1-1"),
    SpoolingHeard("1-1"),
]


NOW = 1_767_225_600_000
AGE_MS = round(AGE_MAX * 1000)
LAG_MS = round(LAG_MAX * 1000)


def a_seal(secret: str = "secret") -> Seal:
    seals = Seals()
    seals.learn(secret)
    return seals[Purpose.BUS]


def a_voice(
    node: str = "node-a",
    *,
    secret: str = "secret",
    incarnation: bytes = b"1234567",
    began_ms: int = 0,
):
    return Voice(node, a_seal(secret), incarnation, began_ms)


def an_ear(node: str = "node-b") -> Ear:
    return Ear(node, a_seal(), NOW)


def say(voice: Voice, envelope: Envelope, channel: str = "u:ada", now_ms: int = NOW) -> bytes:
    return voice.say(channel, voice.write(envelope), now_ms)


def expect_distrust(ear: Ear, said: bytes, why: Distrust, channel: str = "u:ada") -> None:
    with pytest.raises(Untrusted) as caught:
        ear.hear(channel, said, NOW)
    assert caught.value.why is why


@pytest.mark.parametrize("envelope", EVERY, ids=lambda each: type(each).__name__)
def test_an_envelope_that_is_said_is_heard(envelope):
    assert an_ear().hear("u:ada", say(a_voice(), envelope), NOW) == ("node-a", envelope)


def test_a_change_carries_everything_that_a_delivery_needs():
    change = LogChange(3, 2, 1, msgspec.Raw(encode_shared(PART)), "read", None, 9)
    speaker, read = an_ear().hear("u:ada", say(a_voice(), change), NOW)

    assert speaker == "node-a"
    assert isinstance(read, LogChange)
    assert (read.sequence, read.unread, read.unseen) == (3, 2, 1)
    assert (read.state, read.seen_at, read.read_at) == ("read", None, 9)
    assert read_shared(bytes(read.shared)) == PART


def test_the_shared_part_is_written_once_and_known_again_by_its_bytes():
    shared = msgspec.Raw(encode_shared(PART))
    voice, ear = a_voice(), an_ear()
    changes = [LogChange(each, 0, 0, shared) for each in (1, 2)]
    read = [ear.hear("u:ada", say(voice, each), NOW)[1] for each in changes]

    assert [bytes(each.shared) for each in read if isinstance(each, LogChange)] == [
        bytes(shared),
        bytes(shared),
    ]


def test_a_node_passes_over_its_own_words_but_for_those_that_it_waits_for():
    a, b, twin = a_voice(), a_voice("node"), a_voice(incarnation=b"another")
    own = {type(each) for each in EVERY if a.is_own(say(a, each))}

    assert {type(each) for each in EVERY} - own == {Alive, DeviceArrived, DeviceHere, Spooling}
    for other in (b, twin):
        assert not any(other.is_own(say(a, e)) or a.is_own(say(other, e)) for e in EVERY)


# --- Speakers that are not heeded -----------------------------------------------------------------


@given(st.binary(max_size=80))
def test_any_payload_without_a_seal_is_not_heeded(payload):
    with pytest.raises(Untrusted):
        an_ear().hear("c", payload, NOW)


@given(st.sampled_from(EVERY), st.data())
def test_an_envelope_that_was_cut_or_changed_is_not_heeded(envelope, data):
    whole = say(a_voice(), envelope)
    payload = bytearray(whole)
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    changed = bytes(payload[: data.draw(st.integers(0, len(payload)))])
    if changed != whole:
        with pytest.raises(Untrusted):
            an_ear().hear("u:ada", changed, NOW)


def test_an_envelope_is_heeded_on_its_own_channel_and_with_our_secret_alone():
    said = say(a_voice(), DeviceGone("phone"))
    expect_distrust(an_ear(), said, Distrust.FORGED, channel="u:bob")
    strange = say(a_voice(secret="another"), DisconnectUser("ada"))
    expect_distrust(an_ear(), strange, Distrust.FORGED)


def test_an_envelope_of_an_older_release_is_unsealed():
    old = b"\x00\x06node-a" + msgspec.msgpack.encode(LogHead(7))
    expect_distrust(an_ear(), old, Distrust.UNSEALED)


def test_an_older_release_finds_an_envelope_unreadable():
    said = say(a_voice(), LogHead(7))
    with pytest.raises(msgspec.DecodeError):
        msgspec.msgpack.decode(said[8:], type=Envelope)


def test_an_envelope_is_not_heeded_again_nor_one_from_before_it():
    voice, ear = a_voice(), an_ear()
    first, second = (say(voice, DisconnectUser("ada"), CONTROL) for _ in range(2))
    ear.hear(CONTROL, second, NOW)
    for said in (first, second):
        expect_distrust(ear, said, Distrust.REPEATED, CONTROL)
    assert ear.hear(CONTROL, say(a_voice("node-c"), Leaving(), CONTROL), NOW)
    newer = a_voice(incarnation=b"another")
    assert ear.hear(CONTROL, say(newer, Leaving(), CONTROL), NOW), "it was started again"
    expect_distrust(ear, first, Distrust.REPEATED, CONTROL)


def test_signs_of_life_and_what_else_is_said_come_in_any_order():
    voice, ear = a_voice(), an_ear()
    said = say(voice, LogHead(1))
    signs = [voice.live(Alive(number), NOW) for number in (1.0, 2.0)]
    for each in signs:
        assert ear.hear(CONTROL, each, NOW)
    assert ear.hear("u:ada", said, NOW)
    expect_distrust(ear, signs[0], Distrust.REPEATED, CONTROL)
    expect_distrust(ear, said, Distrust.REPEATED)


@pytest.mark.parametrize(("lag", "is_heeded"), [(LAG_MS, True), (LAG_MS + 1, False)])
def test_by_its_signs_of_life_a_hearer_knows_what_a_speaker_said_long_ago(lag, is_heeded):
    voice, ear = a_voice(), an_ear()
    said = say(voice, DeviceGone("phone"))
    ear.hear(CONTROL, voice.live(Alive(1.0), NOW + lag), NOW + lag)
    if is_heeded:
        assert ear.hear("u:ada", said, NOW)
    else:
        expect_distrust(ear, said, Distrust.STALE)


def test_a_speaker_whose_clock_is_set_back_goes_on_being_heard():
    voice, ear = a_voice(), an_ear()
    for now in (NOW, NOW - 300_000, NOW - 299_000):
        assert ear.hear("u:ada", say(voice, LogHead(1), now_ms=now), NOW)


@pytest.mark.parametrize(("age", "is_heeded"), [(AGE_MS, True), (AGE_MS + 1, False)])
def test_a_stale_envelope_is_not_heeded_by_a_newcomer(age, is_heeded):
    said = say(a_voice(), DeviceGone("phone"), now_ms=NOW - age)
    if is_heeded:
        assert an_ear().hear("u:ada", said, NOW)
    else:
        expect_distrust(an_ear(), said, Distrust.STALE)


def test_an_envelope_of_an_earlier_process_is_not_taken_for_a_twin_of_today():
    said = say(a_voice("node-b"), Alive(1.0), CONTROL, NOW - 1)
    expect_distrust(an_ear(), said, Distrust.STALE, CONTROL)


def test_a_node_whose_clock_is_set_back_after_its_start_hears_itself():
    voice = a_voice("node-b", began_ms=NOW)
    for number, now in enumerate((NOW - 300_000, NOW - 299_000)):
        said = voice.live(Alive(number), now)
        assert an_ear("node-b").hear(CONTROL, said, now)


def test_a_node_remembers_many_speakers_and_beyond_that_only_who_may_be_heeded():
    ear = an_ear()
    for number in range(3000):
        voice = a_voice(incarnation=number.to_bytes(7))
        ear.hear("u:ada", say(voice, LogHead(1), now_ms=NOW + number), NOW)
    much_later = NOW + 2 * AGE_MS
    ear.hear("u:ada", say(a_voice(), LogHead(1), now_ms=much_later), much_later)
    assert len(ear._lanes) == 1


def test_to_hear_is_cheap():
    voice, ear = a_voice(), an_ear()
    change = LogChange(3, 2, 1, msgspec.Raw(encode_shared(PART)))
    said = [say(voice, change) for _ in range(2000)]
    began = time.process_time()
    for each in said:
        ear.hear("u:ada", each, NOW)
    assert (time.process_time() - began) / len(said) < 50e-6, "it is some 4 µs on an idle machine"


# --- Channels -------------------------------------------------------------------------------------


def test_a_channel_names_its_user_or_its_topic():
    assert channel_user(user_channel("a:b")) == "a:b"
    assert channel_topic(topic_channel("*")) == "*"
    assert channel_user(topic_channel("u:x")) is None
    assert channel_topic(user_channel("t:x")) is None
    assert channel_user("c") is channel_topic("c") is None


def test_an_envelope_of_a_newer_release_is_unreadable():
    voice = a_voice()
    unknown = voice.say("u:ada", b"\x00" + msgspec.msgpack.encode([99, "x"]), NOW)
    with pytest.raises(Unreadable):
        an_ear().hear("u:ada", unknown, NOW)
    with pytest.raises(Unreadable):
        read_shared(b"\x91\x01")


class ChangeOfOlderRelease(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """`LogChange` without the departure."""

    sequence: int
    unread: int
    unseen: int
    shared: msgspec.Raw
    state: str | None = None
    seen_at: int | None = None
    read_at: int | None = None


def test_a_change_with_a_departure_and_one_without_are_read_by_both_releases():
    shared = msgspec.Raw(encode_shared(PART))
    new = LogChange(3, 2, 1, shared, departed_at=1.5)
    old = ChangeOfOlderRelease(3, 2, 1, shared)
    encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode
    assert decode(encode(new), type=ChangeOfOlderRelease).sequence == 3
    assert decode(encode(old), type=LogChange).departed_at is None
